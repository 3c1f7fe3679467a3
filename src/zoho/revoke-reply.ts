import { decidedByStatus, type Failed, isObject, parseRefusal, type RawReply, type Refused } from './token-reply.ts'

/** What Zoho said to a revoke. `gone`: it did not know the token (any more), which is as good. */
export type RevokeReply = { readonly kind: 'revoked' } | { readonly kind: 'gone' } | Refused | Failed

/** Says what an answer to a revoke means. Pure; never throws. */
export function parseRevokeReply({ status, body }: Pick<RawReply, 'status' | 'body'>): RevokeReply {
  const decided = decidedByStatus(status)
  if (decided !== undefined) return decided
  const stated = isObject(body) ? parseRefusal(status, body) : undefined
  if (stated?.kind === 'refused' && stated.fault === 'throttled') return stated
  // Zoho answers 400 to the second revoke of a token.
  if (status === 400 || (stated?.kind === 'refused' && stated.fault === 'grant')) return { kind: 'gone' }
  return stated ?? (status < 300 ? { kind: 'revoked' } : { kind: 'failed', code: 'http_status', sent: true })
}

import type { RevokeReply } from '../domain/connect-ports.ts'
import { decidedByStatus, isObject, parseRefusal, type RawReply } from './token-reply.ts'

/** Says what an answer to a revoke means; a token that Zoho does not know (any more) is `gone`. Pure; never throws. */
export function parseRevokeReply({ status, body }: Pick<RawReply, 'status' | 'body'>): RevokeReply {
  const decided = decidedByStatus(status)
  if (decided !== undefined) return decided
  const stated = isObject(body) ? parseRefusal(status, body) : undefined
  if (stated?.kind === 'refused' && stated.fault === 'throttled') return stated
  // Zoho answers 400 to the second revoke of a token.
  if (status === 400 || (stated?.kind === 'refused' && stated.fault === 'grant')) return { kind: 'gone' }
  return stated ?? (status < 300 ? { kind: 'revoked' } : { kind: 'failed', code: 'http_status', sent: true })
}

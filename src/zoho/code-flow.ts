import type { OAuth2Namespace, OAuth2Token } from '@fastify/oauth2'
import type { FastifyReply, FastifyRequest } from 'fastify'

import { Secret } from '../domain/secret.ts'
import { type StandInRequest, VERIFIER_COOKIE } from './namespaces.ts'
import type { Refused } from './token-reply.ts'

/** A code as the callback brought it, with what its flow had stored. */
export interface ReturnedCode {
  readonly code: Secret
  readonly verifier: Secret
  /** The state that the route consumed. */
  readonly state: string
}

const CODE = /^[\x21-\x7e]{1,4096}$/
// RFC 7636 §4.1.
const VERIFIER = /^[\w.~-]{43,128}$/

/** The URL of the consent page and the verifier that was made for it alone. Rejects for an empty state. */
export async function startCodeFlow(
  oauth2: OAuth2Namespace,
  state: string
): Promise<{ readonly url: string; readonly verifier: Secret }> {
  const cookies = new Map<string, string>()
  // It must not throw: the plugin calls it where an error would end the process.
  const setCookie = (name: string, value: string) => void cookies.set(name, value)
  const url = await oauth2.generateAuthorizationUri(requestOf({ consumedState: state }), replyOf({ setCookie }))
  const verifier = cookies.get(VERIFIER_COOKIE)
  if (verifier === undefined || !VERIFIER.test(verifier)) throw new Error('@fastify/oauth2 made no PKCE verifier')
  return { url, verifier: new Secret(verifier) }
}

/** The refusal that a code earns without a call, since a call would only waste it; undefined when it may be redeemed. */
export function refuseCode({ code, verifier, state }: ReturnedCode): Refused<'grant'> | undefined {
  if (!CODE.test(code.reveal())) return { kind: 'refused', fault: 'grant', code: 'invalid_code' }
  const isBound = state !== '' && VERIFIER.test(verifier.reveal())
  return isBound ? undefined : { kind: 'refused', fault: 'grant', code: 'invalid_grant' }
}

/** Redeems a code that `refuseCode` lets pass: one request, never repeated. */
export function redeemCode(oauth2: OAuth2Namespace, { code, verifier, state }: ReturnedCode): Promise<OAuth2Token> {
  return oauth2.getAccessTokenFromAuthorizationCodeFlow(
    requestOf({
      consumedState: state,
      query: { code: code.reveal(), state },
      cookies: { [VERIFIER_COOKIE]: verifier.reveal() }
    })
  )
}

function requestOf(standIn: StandInRequest): FastifyRequest {
  return standIn as unknown as FastifyRequest
}

function replyOf(standIn: { setCookie(name: string, value: string): void }): FastifyReply {
  return standIn as unknown as FastifyReply
}

import type { Answer } from './endpoint.ts'
import { hashOf } from './token-format.ts'

/** An answer of an API; `presented` is the access token that the caller showed. */
export function apiAnswer(status: number, body: object, outcome: string, presented?: string): Answer {
  const headers = { server: 'ZGS', 'content-type': 'application/json;charset=UTF-8' }
  const accessToken = presented === undefined ? undefined : hashOf(presented)
  return { status, headers, body: JSON.stringify(body), outcome, accessToken }
}

import { accountsAnswer } from './accounts-answer.ts'
import type { Answer } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import type { AccessToken } from './world.ts'

/** A success of the token endpoint in the shape that the knobs want; `refreshToken` only at an exchange, since Zoho does not rotate. */
export function tokenAnswer(token: AccessToken, knobs: Knobs, origin: string, refreshToken?: string): Answer {
  const lifeMs = token.expiresAtMs - token.issuedAtMs
  const seconds = Math.floor(lifeMs / 1000)
  const scope = token.grant.scopes.join(knobs.scope === 'comma' ? ',' : ' ')
  const body = {
    access_token: token.value,
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
    ...(knobs.scope === 'absent' ? {} : { scope }),
    ...(knobs.api_domain === 'absent'
      ? {}
      : { api_domain: knobs.api_domain === 'foreign' ? 'https://www.zohoapis.example' : origin }),
    token_type: 'Bearer',
    ...(knobs.expires_in === 'both' ? { expires_in_sec: seconds } : {}),
    expires_in: knobs.expires_in === 's' ? seconds : lifeMs
  }
  return accountsAnswer(200, body, 'ok', token.hash)
}

/** The limiter's answer; its status and language are knobs. */
export function throttledAnswer(knobs: Knobs): Answer {
  return accountsAnswer(knobs.throttle_status, throttledBody(knobs), 'throttled')
}

/** The body of the limiter's answer. */
export function throttledBody({ throttle_error, throttle_description }: Knobs): object {
  return { error_description: throttle_description, error: throttle_error, status: 'failure' }
}

import { accountsError, badRequest } from './accounts-answer.ts'
import { clientOf, hasSecret } from './client-credentials.ts'
import type { Clients } from './clients.ts'
import type { Handler } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import { isOverLimit, isShut } from './throttle.ts'
import { throttledAnswer, tokenAnswer } from './token-answer.ts'
import type { World } from './world.ts'

interface Deps {
  readonly world: World
  readonly clients: Clients
  readonly knobs: Knobs
  readonly now: () => number
  readonly originOf: (dataCenter: string) => string
}

/** `POST /oauth/v2/token`: errors inside HTTP 200 (zoho.md §1.5). */
export function createTokenEndpoint(grantTypes: ReadonlyMap<string, Handler>): Handler {
  return (call) => {
    const grantType = call.parameters.get('grant_type')
    if (call.method !== 'POST') return badRequest('wrong_method')
    if (!grantType) return badRequest('no_grant_type')
    const handle = grantTypes.get(grantType)
    return handle ? handle(call) : accountsError('invalid_client')
  }
}

/** `grant_type=refresh_token`. */
export function createRefreshGrant({ world, clients, knobs, now, originOf }: Deps): Handler {
  return (call) => {
    const { dataCenter, parameters } = call
    const found = world.findGrant(parameters.get('refresh_token') ?? '')
    const grant = found?.dataCenter === dataCenter ? found : undefined
    // The real limiter was seen to answer before any credential was looked at.
    if (grant && isShut(grant.throttle, knobs, now())) return throttledAnswer(knobs)
    const client = clientOf(clients, call)
    if (!client || (found && !grant)) return accountsError('invalid_client')
    if (!hasSecret(client, call)) return accountsError('invalid_client_secret')
    if (grant?.state !== 'live' || grant.clientId !== client.id) return accountsError('invalid_code')
    if (!grant.user.active && knobs.deactivated_user === 'invalid_code') return accountsError('invalid_code')
    if (isOverLimit(grant.throttle, knobs, now())) return throttledAnswer(knobs)
    return tokenAnswer(world.mint(grant), knobs, originOf(dataCenter))
  }
}

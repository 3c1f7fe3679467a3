import { accountsAnswer, accountsError, badRequest } from './accounts-answer.ts'
import type { Call } from './call.ts'
import type { Client, Clients } from './clients.ts'
import type { Answer, Handler } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import { isOverLimit, isShut } from './throttle.ts'
import type { AccessToken, World } from './world.ts'

interface Deps {
  readonly world: World
  readonly clients: Clients
  readonly knobs: Knobs
  readonly now: () => number
  readonly originOf: (dataCenter: string) => string
}

/** `POST /oauth/v2/token`: errors inside HTTP 200 (zoho.md §1.5). */
export function createTokenEndpoint(deps: Deps): Handler {
  const grantTypes = new Map<string, Handler>([
    ['refresh_token', createRefreshGrant(deps)],
    ['authorization_code', createCodeGrant(deps)]
  ])

  return (call) => {
    const grantType = call.parameters.get('grant_type')
    if (call.method !== 'POST') return badRequest('wrong_method')
    if (!grantType) return badRequest('no_grant_type')
    const handle = grantTypes.get(grantType)
    return handle ? handle(call) : accountsError('invalid_client')
  }
}

/** No code is ever made yet, so every code is a wrong one. */
function createCodeGrant({ clients }: Deps): Handler {
  return (call) => {
    const client = clientOf(clients, call)
    if (!client) return accountsError('invalid_client')
    return accountsError(hasSecret(client, call) ? 'invalid_code' : 'invalid_client_secret')
  }
}

function createRefreshGrant({ world, clients, knobs, now, originOf }: Deps): Handler {
  const throttled = () =>
    accountsAnswer(
      knobs.throttle_status,
      { error_description: knobs.throttle_description, error: knobs.throttle_error, status: 'failure' },
      'throttled'
    )

  return (call) => {
    const { dataCenter, parameters } = call
    const found = world.findGrant(parameters.get('refresh_token') ?? '')
    const grant = found?.dataCenter === dataCenter ? found : undefined
    // The real limiter was seen to answer before any credential was looked at.
    if (grant && isShut(grant.throttle, knobs, now())) return throttled()
    const client = clientOf(clients, call)
    if (!client || (found && !grant)) return accountsError('invalid_client')
    if (!hasSecret(client, call)) return accountsError('invalid_client_secret')
    if (grant?.state !== 'live' || grant.clientId !== client.id) return accountsError('invalid_code')
    if (!grant.user.active && knobs.deactivated_user === 'invalid_code') return accountsError('invalid_code')
    if (isOverLimit(grant.throttle, knobs, now())) return throttled()
    return tokenAnswer(world.mint(grant), knobs, originOf(dataCenter))
  }
}

/** The client of the call, if this data center knows it. */
function clientOf(clients: Clients, { dataCenter, parameters }: Call): Client | undefined {
  const client = clients.get(parameters.get('client_id') ?? '')
  return client?.secrets.has(dataCenter) ? client : undefined
}

function hasSecret(client: Client, { dataCenter, parameters }: Call): boolean {
  return client.secrets.get(dataCenter) === parameters.get('client_secret')
}

/** A refresh never carries a refresh token: Zoho does not rotate. */
function tokenAnswer(token: AccessToken, knobs: Knobs, origin: string): Answer {
  const lifeMs = token.expiresAtMs - token.issuedAtMs
  const seconds = Math.floor(lifeMs / 1000)
  const scope = token.grant.scopes.join(knobs.scope === 'comma' ? ',' : ' ')
  const body = {
    access_token: token.value,
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

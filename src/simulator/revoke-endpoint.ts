import { accountsAnswer, accountsError, badRequest } from './accounts-answer.ts'
import type { Call } from './call.ts'
import type { Clients } from './clients.ts'
import type { Handler } from './endpoint.ts'
import type { Grant, World } from './world.ts'

interface Deps {
  readonly world: World
  readonly clients: Clients
}

/** `POST /oauth/v2/token/revoke`, the older form: who has the token may revoke it. Not idempotent: twice is 400. */
export function createOldRevokeEndpoint({ world }: Pick<Deps, 'world'>): Handler {
  return (call) => {
    if (call.method !== 'POST') return badRequest('wrong_method')
    const token = call.parameters.get('token') ?? ''
    const done = revokeRefreshToken(world, call, token) || revokeAccessToken(world, call, token)
    return done ? accountsAnswer(200, { status: 'success' }, 'ok') : accountsError('invalid_code', 400)
  }
}

/** `POST /oauth/v2/revoke/token`, the newer form: Basic credentials, `token_type`, and only the client's own tokens. */
export function createNewRevokeEndpoint({ world, clients }: Deps): Handler {
  return (call) => {
    if (call.method !== 'POST') return badRequest('wrong_method')
    const { dataCenter, parameters, placement } = call
    const client = clients.get(parameters.get('client_id') ?? '')
    const secret = client?.secrets.get(dataCenter)
    if (!placement.includes('basic') || secret === undefined) return accountsError('invalid_client', 400)
    if (secret !== parameters.get('client_secret')) return accountsError('invalid_client_secret', 400)
    const revoke = parameters.get('token_type') === 'access_token' ? revokeAccessToken : revokeRefreshToken
    const done = revoke(world, call, parameters.get('token') ?? '', client?.id)
    return done ? accountsAnswer(200, { status: 'success' }, 'ok') : accountsError('invalid_code', 400)
  }
}

function revokeRefreshToken(world: World, call: Call, token: string, clientId?: string): boolean {
  const grant = world.findGrant(token)
  if (grant?.state !== 'live' || !belongs(grant, call, clientId)) return false
  world.endGrant(grant, 'revoked')
  return true
}

function revokeAccessToken(world: World, call: Call, value: string, clientId?: string): boolean {
  const token = world.findAccessToken(value)
  if (!token || !world.isLive(token) || !belongs(token.grant, call, clientId)) return false
  world.endAccessToken(token)
  return true
}

function belongs(grant: Grant, { dataCenter }: Call, clientId: string | undefined): boolean {
  return grant.dataCenter === dataCenter && (clientId === undefined || grant.clientId === clientId)
}

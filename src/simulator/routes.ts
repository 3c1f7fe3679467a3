import { AUTHORIZE_PATH, createAuthorizeEndpoint, createDecisionEndpoint, DECISION_PATH } from './authorize-endpoint.ts'
import type { Clients } from './clients.ts'
import { createCodeGrant } from './code-grant.ts'
import type { Codes } from './codes.ts'
import { createConsent } from './consent.ts'
import { createKeySet, createOpenIdConfiguration, createServerInfo } from './discovery.ts'
import type { Endpoint, Handler, Route } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import { createCrmUsers, createDeskOrganizations, createDeskTickets } from './resources.ts'
import { createNewRevokeEndpoint, createOldRevokeEndpoint } from './revoke-endpoint.ts'
import { createRefreshGrant, createTokenEndpoint } from './token-endpoint.ts'
import { createUserInfo } from './user-info.ts'
import type { Users } from './users.ts'
import type { World } from './world.ts'

/** The state that the endpoints share. */
export interface Parts {
  readonly world: World
  readonly clients: Clients
  readonly users: Users
  readonly codes: Codes
  readonly knobs: Knobs
  readonly now: () => number
  /** Filled when the servers listen. */
  readonly origins: Readonly<Record<string, string>>
  readonly remember: (secret: string) => void
}

/** What stands at which path of every data center. */
export function createRoutes(parts: Parts): ReadonlyMap<string, Route> {
  const { world, clients, users, codes, knobs, origins } = parts
  const originOf = (dataCenter: string) => origins[dataCenter] ?? ''
  const consent = createConsent({ codes, knobs, originOf })
  const grantTypes = new Map([
    ['refresh_token', createRefreshGrant({ ...parts, originOf })],
    ['authorization_code', createCodeGrant({ ...parts, originOf })]
  ])
  const rows: [string, Endpoint, Handler][] = [
    [AUTHORIZE_PATH, 'authorize', createAuthorizeEndpoint({ clients, users, knobs, consent })],
    [DECISION_PATH, 'authorize', createDecisionEndpoint({ clients, users, knobs, consent })],
    ['/oauth/v2/token', 'token', createTokenEndpoint(grantTypes)],
    ['/oauth/v2/token/revoke', 'revoke', createOldRevokeEndpoint({ world })],
    ['/oauth/v2/revoke/token', 'revoke', createNewRevokeEndpoint({ world, clients })],
    ['/oauth/user/info', 'user_info', createUserInfo(world)],
    ['/oauth/serverinfo', 'discovery', createServerInfo(origins)],
    ['/.well-known/openid-configuration', 'discovery', createOpenIdConfiguration(origins)],
    ['/oauth/v2/keys', 'discovery', createKeySet(knobs)],
    ['/api/v1/organizations', 'resource', createDeskOrganizations(world)],
    ['/api/v1/tickets', 'resource', createDeskTickets(world)],
    ['/crm/v8/users', 'resource', createCrmUsers(world)]
  ]
  return new Map(rows.map(([path, endpoint, handle]) => [path, { endpoint, handle }]))
}

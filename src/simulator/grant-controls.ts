import type { Static } from '@sinclair/typebox'
import type { Clients } from './clients.ts'
import type { Codes } from './codes.ts'
import { grantedScopes } from './consent.ts'
import type { NewGrantInput, SelfClientInput, TokenFilter } from './control-inputs.ts'
import { ControlError, fits, knownClient, knownDataCenter } from './control-lookups.ts'
import type { Knobs } from './knobs.ts'
import { showAccessToken, showGrant } from './show.ts'
import { ensureOrg, type Users } from './users.ts'
import type { NewGrant, World } from './world.ts'

interface Deps {
  readonly dataCenters: readonly string[]
  /** Scopes of a grant that names none. */
  readonly scopes: readonly string[]
  readonly world: World
  readonly users: Users
  readonly clients: Clients
  readonly codes: Codes
  readonly knobs: Knobs
}

const SELF_CLIENT_LIFE_MS = 180_000

/** Grants that no consent page had to give, and lists of what was given. */
export function createGrantControls({ world, users, clients, codes, knobs, dataCenters, scopes }: Deps) {
  let made = 0

  function newGrant(input: Static<typeof NewGrantInput>): NewGrant {
    const dataCenter = knownDataCenter(dataCenters, input.data_center)
    const client = knownClient(clients, input.client_id)
    if (!client.secrets.has(dataCenter)) throw new ControlError(`The client is not enabled in ${dataCenter}.`)
    made += input.user === undefined ? 1 : 0
    const user = users.ensure(dataCenter, input.user ?? `user${made}`)
    const org = ensureOrg(user, input.org_id)
    return { clientId: client.id, user, org, scopes: input.scopes ?? scopes, accessType: 'offline' }
  }

  return {
    /** The only control whose answer has a refresh token in clear. */
    createGrant: (input: Static<typeof NewGrantInput>) => {
      const grant = world.addGrant(newGrant(input))
      return { ...showGrant(grant), refresh_token: grant.refreshToken }
    },
    /** A code of the API console's self client, in clear; its exchange needs no redirect URI. */
    createSelfClientCode: ({ life_ms = SELF_CLIENT_LIFE_MS, ...input }: Static<typeof SelfClientInput>) => {
      const grant = newGrant(input)
      const code = codes.issue({ ...grant, scopes: grantedScopes(grant.scopes, knobs), lifeMs: life_ms })
      return { code: code.value, user: grant.user.name, org_id: grant.org.id, expires_at_ms: code.expiresAtMs }
    },
    listGrants: (filter: Static<typeof TokenFilter> = {}) => ({
      grants: world.grants().map(showGrant).filter(fits(filter))
    }),
    listAccessTokens: (filter: Static<typeof TokenFilter> = {}) => ({
      access_tokens: world
        .accessTokens()
        .map((token) => showAccessToken(token, world.isLive(token)))
        .filter(fits(filter))
    })
  }
}

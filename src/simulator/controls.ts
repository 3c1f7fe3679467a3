import type { Static } from '@sinclair/typebox'
import type { Client, Clients } from './clients.ts'
import type {
  AppOfUser,
  ClientName,
  KnobChange,
  NewClientInput,
  NewGrantInput,
  Release,
  Rotation,
  Scope,
  TokenFilter,
  UserState
} from './control-inputs.ts'
import type { Fault, Faults } from './faults.ts'
import type { Gate, Hold } from './gate.ts'
import type { Knobs } from './knobs.ts'
import type { Ledger, LedgerFilter } from './ledger.ts'
import { showAccessToken, showClient, showGrant } from './show.ts'
import type { User, World } from './world.ts'

/** A control was asked for something that does not exist; the message is a sentence for the caller. */
export class ControlError extends Error {}

interface Deps {
  readonly dataCenters: readonly string[]
  /** Scopes of a grant that names none. */
  readonly scopes: readonly string[]
  readonly world: World
  readonly clients: Clients
  readonly knobs: Knobs
  readonly faults: Faults
  readonly gate: Gate
  readonly ledger: Ledger
  readonly secrets: ReadonlySet<string>
}

/** What a test can do to the simulator. Throws ControlError. */
export type Controls = ReturnType<typeof createControls>

/** Binds the controls to the parts of one simulator. */
export function createControls(deps: Deps) {
  return { ...grantControls(deps), ...clientControls(deps), ...trafficControls(deps) }
}

function grantControls({ world, clients, dataCenters, scopes }: Deps) {
  let users = 0

  function createGrant(input: Static<typeof NewGrantInput>) {
    const dataCenter = knownDataCenter(dataCenters, input.data_center)
    const client = knownClient(clients, input.client_id ?? clients.list()[0]?.id)
    if (!client.secrets.has(dataCenter)) throw new ControlError(`The client is not enabled in ${dataCenter}.`)
    users += input.user === undefined ? 1 : 0
    const user = world.ensureUser(dataCenter, input.user ?? `user${users}`)
    const grant = world.addGrant({
      dataCenter,
      clientId: client.id,
      user,
      orgId: input.org_id ?? user.orgId,
      scopes: input.scopes ?? scopes
    })
    return { ...showGrant(grant), refresh_token: grant.refreshToken }
  }

  function knownUser(dataCenter: string, name: string): User {
    const user = world.findUser(knownDataCenter(dataCenters, dataCenter), name)
    if (!user) throw new ControlError(`There is no user ${name} in ${dataCenter}.`)
    return user
  }

  return {
    /** The only answer that has a refresh token in clear. */
    createGrant,
    listGrants: (filter: Static<typeof TokenFilter> = {}) => ({
      grants: world.grants().map(showGrant).filter(fits(filter))
    }),
    listAccessTokens: (filter: Static<typeof TokenFilter> = {}) => ({
      access_tokens: world
        .accessTokens()
        .map((token) => showAccessToken(token, world.isLive(token)))
        .filter(fits(filter))
    }),
    /** The user removes the app at accounts.zoho.com: all their grants for it die (for every app without `client_id`). */
    removeConnectedApp: ({ data_center, user: name, client_id }: Static<typeof AppOfUser>) => {
      const user = knownUser(data_center, name)
      const ending = world.grants().filter((grant) => grant.user === user && grant.state === 'live')
      const chosen = ending.filter((grant) => client_id === undefined || grant.clientId === client_id)
      for (const grant of chosen) world.endGrant(grant, 'app_removed')
      return { ended: chosen.length }
    },
    /** `active: true` brings the user back. */
    deactivateUser: ({ data_center, user: name, active = false }: Static<typeof UserState>) => {
      const user = knownUser(data_center, name)
      user.active = active
      return { user: user.name, active }
    }
  }
}

function clientControls({ world, clients, dataCenters }: Deps) {
  return {
    createClient: (input: Static<typeof NewClientInput>) => {
      for (const key of Object.keys(input.secrets ?? {})) knownDataCenter(dataCenters, key)
      if (clients.get(input.client_id)) throw new ControlError(`There is a client ${input.client_id} already.`)
      const { client_id: id, secret, secrets, redirect_uris: redirectUris } = input
      return showClient(clients.add({ id, secret, secrets, redirectUris }))
    },
    /** Secrets are in clear. */
    listClients: () => ({ clients: clients.list().map(showClient) }),
    /** Returns the new secret in clear. */
    rotateSecret: ({ client_id, data_center, secret }: Static<typeof Rotation>) => {
      const client = knownClient(clients, client_id)
      if (data_center !== undefined) knownDataCenter(dataCenters, data_center)
      return { client_id, secret: clients.rotateSecret(client, data_center, secret) }
    },
    /** The client's grants die with it; calls with its id get `invalid_client`. */
    deleteClient: ({ client_id }: Static<typeof ClientName>) => {
      clients.remove(knownClient(clients, client_id).id)
      const ending = world.grants().filter((grant) => grant.clientId === client_id && grant.state === 'live')
      for (const grant of ending) world.endGrant(grant, 'client_deleted')
      return { ended: ending.length }
    }
  }
}

function trafficControls({ knobs, faults, gate, ledger, secrets, dataCenters }: Deps) {
  const named = <T extends { data_center?: string }>(input: T): T => {
    if (input.data_center !== undefined) knownDataCenter(dataCenters, input.data_center)
    return input
  }

  return {
    knobs: (): Knobs => ({ ...knobs }),
    setKnobs: (change: Static<typeof KnobChange>): Knobs => ({ ...Object.assign(knobs, change) }),
    setFault: (fault: Fault) => {
      faults.add(named(fault))
      return { faults: faults.list() }
    },
    listFaults: () => ({ faults: faults.list() }),
    clearFaults: (scope: Static<typeof Scope> = {}) => {
      faults.clear(named(scope).data_center)
      return { faults: faults.list() }
    },
    hold: (hold: Hold) => {
      gate.hold(named(hold))
      return { waiters: gate.waiters().length }
    },
    release: (input: Static<typeof Release> = {}) => ({
      released: gate.release(named(input).data_center, input.count)
    }),
    waiters: (scope: Static<typeof Scope> = {}) => {
      const waiters = gate.waiters().filter(fits(named(scope)))
      return { count: waiters.length, waiters }
    },
    ledger: (filter: LedgerFilter = {}) => {
      const entries = ledger.find(filter)
      return { count: entries.length, entries }
    },
    countCalls: (filter: LedgerFilter = {}) => ({ count: ledger.find(filter).length }),
    clearLedger: () => {
      ledger.clear()
      return {}
    },
    /** Every token and client secret that was ever made or configured, in clear, for leak scans. */
    secrets: () => ({ secrets: [...secrets] })
  }
}

function knownDataCenter(dataCenters: readonly string[], key: string): string {
  if (dataCenters.includes(key)) return key
  throw new ControlError(`There is no data center ${key}; there are ${dataCenters.join(', ')}.`)
}

function knownClient(clients: Clients, id: string | undefined): Client {
  const client = id === undefined ? undefined : clients.get(id)
  if (client) return client
  throw new ControlError(id === undefined ? 'There is no client.' : `There is no client ${id}.`)
}

function fits<T extends object>(filter: Partial<Record<string, unknown>>): (row: T) => boolean {
  return (row) => Object.entries(filter).every(([name, value]) => row[name as keyof T] === value)
}

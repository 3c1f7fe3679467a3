import { randomBytes } from 'node:crypto'
import type { App } from '../../src/domain/app.ts'
import type { Broker } from '../../src/domain/broker.ts'
import type { Connection, Details } from '../../src/domain/connection.ts'
import { createBroker } from '../../src/domain/create-broker.ts'
import { grantStored } from '../../src/domain/grant-change.ts'
import { createGuardedWrite, type GuardedWrite } from '../../src/domain/guarded-write.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import { createImportGrant } from '../../src/domain/import-grant.ts'
import { createIssue } from '../../src/domain/issue.ts'
import { createLeaseLoop, type LeaseLoop } from '../../src/domain/lease-loop.ts'
import type { Action, Consumer } from '../../src/domain/policy.ts'
import type { BrokerEvent, Ids, Upstream, UpstreamReply, WakeUp } from '../../src/domain/ports.ts'
import { createRefresh, type Refresh } from '../../src/domain/refresh.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createShield, type Shield } from '../../src/domain/shield.ts'
import { createKeyring } from '../../src/sealing/keyring.ts'
import { connection, freshRef, successor, writeId } from '../helpers/connections.ts'
import { createMemoryStore } from '../helpers/memory-store.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

/** The refresh token of every connection that `connect` makes. */
export const REFRESH_TOKEN = '1000.refresh.first'

export const SETTINGS = {
  leaseTtlMs: 15 * SECOND,
  leaseMaxMs: 13 * SECOND,
  callerDeadlineMs: 9 * SECOND,
  waitPollMs: 10,
  budgetWindowMs: 10 * MINUTE,
  shares: { anyone: 3, rejected: 1, admin: 1 },
  secondStrikeMs: MINUTE,
  backoffFirstMs: 5 * SECOND,
  backoffMaxMs: 5 * MINUTE,
  storeRetryMs: 5 * SECOND,
  storeRetryPauseMs: 5
}

export const SCOPES = ['Desk.tickets.READ']

export const DESK: App = {
  name: 'desk',
  product: 'desk',
  clientId: '1000.ABC',
  clientSecrets: new Map(),
  scopes: SCOPES,
  dataCenters: ['eu', 'us'],
  startAt: 'eu'
}

/** A consumer with one rule. */
export function consumer(
  actions: readonly Action[],
  { tenants = ['*'], connections = ['*'] }: { tenants?: string[]; connections?: string[] } = {}
): Consumer {
  return { name: actions.join('+'), allow: [{ actions, tenants, connections }] }
}

export const SERVICE = consumer(['token'])
export const ADMIN = consumer(['token', 'read', 'connect', 'refresh'])

type Granted = Extract<UpstreamReply, { kind: 'granted' }>

export function granted(accessToken: string, more: Partial<Granted> = {}): Granted {
  return { kind: 'granted', accessToken: new Secret(accessToken), lifeMs: HOUR, apiDomainDiffers: false, ...more }
}

export type NotGranted = Exclude<UpstreamReply, { kind: 'granted' }>

export const REFUSED: NotGranted = { kind: 'refused', fault: 'grant', code: 'invalid_code' }
export const OURS: NotGranted = { kind: 'refused', fault: 'ours', code: 'invalid_client' }
export const BAD_SECRET: NotGranted = { kind: 'refused', fault: 'ours', code: 'invalid_client_secret' }
export const THROTTLED: NotGranted = { kind: 'refused', fault: 'throttled', code: 'throttled' }
export const TIMEOUT: NotGranted = { kind: 'failed', code: 'timeout', sent: true }
export const UNSENT: NotGranted = { kind: 'failed', code: 'busy', sent: false }

/** Holds one call until the test lets it end. */
export interface Gate {
  /** Resolves when a call has come to the gate. */
  readonly arrived: Promise<void>
  open(reply?: UpstreamReply): void
}

/** A Zoho that answers what the test tells it, in order; then a new token each time. */
export interface ScriptedUpstream extends Upstream {
  readonly calls: { app: string; dataCenter: string; refreshToken: string }[]
  replies(...replies: UpstreamReply[]): void
  /** Holds the next call. */
  hold(): Gate
}

export function createUpstream(): ScriptedUpstream {
  const calls: ScriptedUpstream['calls'] = []
  const queue: (() => Promise<UpstreamReply>)[] = []
  return {
    calls,
    replies: (...replies) => queue.push(...replies.map((reply) => async () => reply)),
    hold() {
      const arrived = Promise.withResolvers<void>()
      const opened = Promise.withResolvers<UpstreamReply | undefined>()
      queue.push(async () => {
        arrived.resolve()
        return (await opened.promise) ?? granted(`access-${calls.length}`)
      })
      return { arrived: arrived.promise, open: opened.resolve }
    },
    async refresh({ app, dataCenter, refreshToken }) {
      calls.push({ app, dataCenter, refreshToken: refreshToken.reveal() })
      return (await queue.shift()?.()) ?? granted(`access-${calls.length}`)
    }
  }
}

/** One process: everything but store and upstream is its own. */
export interface Process {
  readonly broker: Broker
  readonly refresh: Refresh
  readonly leaseLoop: LeaseLoop
  readonly write: GuardedWrite
  readonly shield: Shield
  readonly events: BrokerEvent[]
  /** How often an event of that type was told. */
  count(type: BrokerEvent['type']): number
}

export interface ConnectOptions extends Omit<Partial<Connection>, 'details' | 'access'> {
  /** How long ago the request for the access token left; 'none': there is no access token. */
  readonly age?: number | 'none'
  readonly lifeMs?: number
  readonly details?: Partial<Details>
  readonly refreshToken?: string
}

/** A twin of the store, an upstream, a clock that goes on and can be put forward, and processes over them. */
export function createWorld({ settings: more = {} }: { settings?: Partial<typeof SETTINGS> } = {}) {
  let skipped = 0
  const clock = { now: () => Date.now() + skipped }
  const store = createMemoryStore({ clock })
  const upstream = createUpstream()
  const sealer = createKeyring({ keys: [{ id: 'k1', key: randomBytes(32) }], prefix: 'ztb' })
  const settings = { ...SETTINGS, ...more }

  function createProcess({ apps = [DESK], wakeUp = store }: { apps?: readonly App[]; wakeUp?: WakeUp } = {}): Process {
    const events: BrokerEvent[] = []
    const emit = (event: BrokerEvent) => events.push(event)
    const shield = createShield()
    const appsByName = new Map(apps.map((app) => [app.name, app]))
    const leaseLoop = createLeaseLoop({ store, wakeUp, clock, ids, emit, settings })
    const write = createGuardedWrite({ store, wakeUp, clock, emit, shield, settings })
    const shared = { store, leaseLoop, write, upstream, sealer, clock, ids, shield, emit, settings }
    const refresh = createRefresh({ ...shared, apps: appsByName })
    const broker = createBroker({
      store,
      refresh,
      issue: createIssue({ store, refresh, sealer, clock, emit }),
      importGrant: createImportGrant(shared),
      apps: appsByName
    })
    const count = (type: BrokerEvent['type']) => events.filter((event) => event.type === type).length
    return { broker, refresh, leaseLoop, write, shield, events, count }
  }

  /** Stores a connection as an import left it `age` ms ago, sealed for real. */
  async function connect(ref = freshRef(), options: ConnectOptions = {}): Promise<Connection> {
    const { age = 0, lifeMs = HOUR, details, refreshToken = REFRESH_TOKEN, ...changes } = options
    const sentAt = clock.now() - (age === 'none' ? 0 : age)
    const base = connection(ref)
    const { dataCenter, grantNumber } = { ...base.details, ...details }
    const expiresAt = sentAt + lifeMs
    const { generation } = { ...base, ...changes }
    const bound = { ref, dataCenter, grantNumber }
    const { access: _access, ...rest } = base
    const next: Connection = {
      ...rest,
      ...(age !== 'none' && {
        access: {
          sealed: sealer.seal(new Secret('access-0'), { ...bound, purpose: 'access', generation, expiresAt }),
          expiresAt
        }
      }),
      sealedRefresh: sealer.seal(new Secret(refreshToken), { ...bound, purpose: 'refresh' }),
      details: {
        ...base.details,
        times: { created: sentAt, statusSince: sentAt, connected: sentAt, accessIssued: sentAt },
        ...details
      },
      ...changes
    }
    await store.commit({ seen: undefined, next, dueAt: undefined })
    return next
  }

  /** A write by somebody else, without a lease. */
  async function meanwhile(ref: ConnectionRef, changes: Partial<Connection>): Promise<Connection> {
    const seen = await read(ref)
    const next = successor(seen, changes)
    await store.commit({ seen, next, dueAt: undefined })
    return next
  }

  /** A connect flow stores another grant, which needs no lease. */
  async function reconnect(ref: ConnectionRef): Promise<Connection> {
    const seen = await read(ref)
    const now = clock.now()
    const access = { token: new Secret('reconnected'), issuedAt: now, expiresAt: now + HOUR }
    const { app, dataCenter, clientId, scopes } = seen.details
    const grant = { ref, app, dataCenter, clientId, scopes, access, refreshToken: new Secret('1000.refresh.second') }
    const stamp = { now, writeId: writeId(), actor: 'person' }
    const { next, grants, events } = grantStored(seen, grant, { how: 'connected', waiting: [] }, sealer, stamp)
    await store.commit({ seen, next, grants, events, dueAt: undefined })
    return next
  }

  async function read(ref: ConnectionRef): Promise<Connection> {
    const found = await store.read(ref)
    if (!found) throw new Error('there is no such connection')
    return found
  }

  /** The refresh token that is stored now, opened. */
  async function refreshTokenOf(ref: ConnectionRef): Promise<string> {
    const { sealedRefresh, details } = await read(ref)
    const { dataCenter, grantNumber } = details
    return sealer.open(sealedRefresh as Uint8Array, { purpose: 'refresh', ref, dataCenter, grantNumber }).reveal()
  }

  return {
    clock,
    store,
    upstream,
    sealer,
    settings,
    createProcess,
    connect,
    meanwhile,
    reconnect,
    read,
    refreshTokenOf,
    skip(ms: number) {
      skipped += ms
    }
  }
}

export type World = ReturnType<typeof createWorld>

export const ids: Ids = {
  writeId,
  owner: () => randomBytes(16).toString('hex'),
  random: () => 0.5
}

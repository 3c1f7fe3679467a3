import type { ConnectStore, Tombstones } from '../../src/domain/connect-ports.ts'
import type { AuditEvent, Clock, ConnectionStore } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import { type AuditLog, createAuditLog } from '../../src/redis/audit-log.ts'
import { createBatchReader } from '../../src/redis/batch-reader.ts'
import { type Clients, type ClientsOptions, createClients } from '../../src/redis/clients.ts'
import { createConnectStore } from '../../src/redis/connect-store.ts'
import { createConnectionStore } from '../../src/redis/connection-store.ts'
import { type ClaimedDueIndex, createDueIndex } from '../../src/redis/due-index.ts'
import { createDurableScript } from '../../src/redis/durable-script.ts'
import { createIndexes } from '../../src/redis/indexes.ts'
import { createKeys, type Keys } from '../../src/redis/keys.ts'
import type { ScriptedRedis } from '../../src/redis/scripts.ts'
import { createStoreCall, type StoreCall } from '../../src/redis/store-call.ts'
import { createTombstones } from '../../src/redis/tombstones.ts'
import type { RedisTarget, RedisTls } from '../../src/redis/topology.ts'
import type { Teardown } from './tcp-proxy.ts'

export interface OpenStore {
  readonly store: ConnectionStore
  readonly clients: Clients
  readonly keys: Keys
  readonly call: StoreCall
  readonly auditLog: AuditLog
  readonly connectStore: ConnectStore
  readonly dueIndex: ClaimedDueIndex
  readonly tombstones: Tombstones
  /** What `onUnfinished` was told. */
  readonly unfinished: unknown[]
}

/** What a store stands on, beside its clients. */
export interface JoinOptions {
  readonly prefix: string
  readonly clock?: Clock
  readonly replicas?: { readonly count: number; readonly waitMs: number }
  /** Stands between the store and its client, for tests of what a crash leaves behind. */
  readonly wrap?: (client: ScriptedRedis) => ScriptedRedis
  /** The same for the client of grant-changing writes. */
  readonly wrapDurable?: (client: ScriptedRedis) => ScriptedRedis
  readonly call?: StoreCall
}

export interface OpenStoreOptions extends JoinOptions {
  /** One server; or another topology in `target`. */
  readonly url?: string
  readonly target?: RedisTarget
  readonly tls?: RedisTls
  readonly onStateChange?: NonNullable<ClientsOptions['onStateChange']>
  readonly silenceMs?: number
}

/** A store put together as the program does it, connected; closed with the test. */
export async function openStore(t: Teardown, options: OpenStoreOptions): Promise<OpenStore> {
  const { url = '', replicas, onStateChange = () => {}, silenceMs = 2000, tls } = options
  const target = options.target ?? ({ kind: 'single', url: new Secret(url) } as const)
  const waitMs = replicas?.waitMs ?? 0
  const clients = createClients({ target, ...(tls && { tls }), silenceMs, onStateChange, waitMs })
  t.teardown(() => clients.close(500))
  await clients.ready()
  return joinStore(clients, options)
}

/** The parts of a store over clients that stand already. */
export function joinStore(clients: Clients, options: JoinOptions): OpenStore {
  const { prefix, clock = { now: Date.now }, replicas, wrap = (client) => client } = options
  const { wrapDurable = (client) => client, call = createStoreCall() } = options
  const keys = createKeys(prefix)
  const client = wrap(clients.fast)
  const auditLog = createAuditLog({ client, call, keys })
  const unfinished: unknown[] = []
  const indexes = createIndexes({ client, call, keys, clock })
  const onUnfinished = (_ref: unknown, error: unknown) => unfinished.push(error)
  const durably = createDurableScript({ client: wrapDurable(clients.durable), call, ...(replicas && { replicas }) })
  const beside = { client, durably, call, keys, indexes, auditLog, onUnfinished }
  const store = createConnectionStore({
    fast: client,
    durably,
    call,
    keys,
    clock,
    reader: createBatchReader({ client, call, keys }),
    indexes,
    auditLog,
    onUnfinished
  })
  return {
    store,
    clients,
    keys,
    call,
    auditLog,
    connectStore: createConnectStore(beside),
    dueIndex: createDueIndex(beside),
    tombstones: createTombstones(beside),
    unfinished
  }
}

/** The events of one connection in the audit stream, in order. */
export async function relayedEvents(client: ScriptedRedis, keys: Keys, member: string): Promise<AuditEvent[]> {
  const entries = await client.xrange(keys.audit, '-', '+')
  return entries.filter(([, [, connection]]) => connection === member).map(([, fields]) => JSON.parse(fields[5] ?? ''))
}

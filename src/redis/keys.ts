import { hash } from 'node:crypto'
import type { Status } from '../domain/connection.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'

const SHARDS = 16

/** The name of every key (`DESIGN.md` §4). Keys of one connection share a hash tag, so that its scripts stay in one slot. */
export interface Keys {
  record(ref: ConnectionRef): string
  lease(ref: ConnectionRef): string
  budget(ref: ConnectionRef): string
  grants(ref: ConnectionRef): string
  /** Links and flows. */
  connect(ref: ConnectionRef): string
  outbox(ref: ConnectionRef): string
  /** Which consumer was handed tokens, and when. */
  exposure(ref: ConnectionRef): string
  /** When each connection needs work next, by hash of the connection. */
  due(ref: ConnectionRef): string
  /** Every key that `due` gives. */
  readonly dueShards: readonly string[]
  /** All connections, by hash of the tenant: a tenant's list is one range of one key. */
  index(tenant: string): string
  status(status: Exclude<Status, 'active'>): string
  /** Pointers and states, by the SHA-256 (hex) of what only the browser knows. Throw for anything else. */
  link(tokenHash: string): string
  state(stateHash: string): string
  flow(flowId: string): string
  readonly audit: string
  /** The pub/sub channel of wake-ups. */
  readonly wake: string
}

/** Makes the key names under `prefix`. Throws for a prefix that would break the hash tags. */
export function createKeys(prefix: string): Keys {
  if (!/^[A-Za-z0-9:._-]+$/.test(prefix))
    throw new TypeError('The Redis prefix may hold letters, digits and : . _ - only')
  const ofConnection = (kind: string) => (ref: ConnectionRef) => `${prefix}:${kind}:{${refKey(ref)}}`
  const due = (shard: number) => `${prefix}:due:${shard}`

  return {
    record: ofConnection('c'),
    lease: ofConnection('l'),
    budget: ofConnection('b'),
    grants: ofConnection('g'),
    connect: ofConnection('k'),
    outbox: ofConnection('o'),
    exposure: ofConnection('x'),
    due: (ref) => due(shardOf(refKey(ref))),
    dueShards: Array.from({ length: SHARDS }, (_, shard) => due(shard)),
    index: (tenant) => `${prefix}:index:${shardOf(tenant)}`,
    status: (status) => `${prefix}:s:${status}`,
    link: (tokenHash) => `${prefix}:link:${hashed(tokenHash)}`,
    state: (stateHash) => `${prefix}:state:${hashed(stateHash)}`,
    flow: (flowId) => `${prefix}:flow:${flowId}`,
    audit: `${prefix}:audit`,
    wake: `${prefix}:wake`
  }
}

/** A token or state in clear must not become a key by mistake. */
function hashed(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new TypeError('The key is made of a SHA-256 in hex')
  return text
}

/** The shard of a text: the first byte of its SHA-256 modulo 16. Part of the stored format, so it never changes. */
export function shardOf(text: string): number {
  return Number.parseInt(hash('sha256', text, 'hex').slice(0, 2), 16) % SHARDS
}

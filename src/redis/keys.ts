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
  outbox(ref: ConnectionRef): string
  /** When each connection needs work next, by hash of the connection. */
  due(ref: ConnectionRef): string
  /** All connections, by hash of the tenant: a tenant's list is one range of one key. */
  index(tenant: string): string
  status(status: Exclude<Status, 'active'>): string
  readonly audit: string
  /** The pub/sub channel of wake-ups. */
  readonly wake: string
}

/** Makes the key names under `prefix`. Throws for a prefix that would break the hash tags. */
export function createKeys(prefix: string): Keys {
  if (!/^[A-Za-z0-9:._-]+$/.test(prefix))
    throw new TypeError('The Redis prefix may hold letters, digits and : . _ - only')
  const ofConnection = (kind: string) => (ref: ConnectionRef) => `${prefix}:${kind}:{${refKey(ref)}}`

  return {
    record: ofConnection('c'),
    lease: ofConnection('l'),
    budget: ofConnection('b'),
    grants: ofConnection('g'),
    outbox: ofConnection('o'),
    due: (ref) => `${prefix}:due:${shardOf(refKey(ref))}`,
    index: (tenant) => `${prefix}:index:${shardOf(tenant)}`,
    status: (status) => `${prefix}:s:${status}`,
    audit: `${prefix}:audit`,
    wake: `${prefix}:wake`
  }
}

/** The shard of a text: the first byte of its SHA-256 modulo 16. Part of the stored format, so it never changes. */
export function shardOf(text: string): number {
  return Number.parseInt(hash('sha256', text, 'hex').slice(0, 2), 16) % SHARDS
}

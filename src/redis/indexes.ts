import type { Connection, Status } from '../domain/connection.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { Clock } from '../domain/ports.ts'
import type { Keys } from './keys.ts'
import { encodeHeader, STATUS_OFFSET, statusOf } from './record.ts'
import type { ScriptedRedis } from './scripts.ts'
import type { StoreCall } from './store-call.ts'

/** How soon a connection is looked at when its writer died between the write and the true due time, in ms. */
const EARLY_MS = 30_000

const LISTED: readonly Exclude<Status, 'active'>[] = ['pending', 'reconnect_required', 'disconnecting', 'disconnected']

/** How long an ended link or flow is kept, in ms. */
const KEEP_ENDED_MS = 86_400_000

type Header = Pick<Connection, 'revision' | 'writeId'>

export interface IndexesDeps {
  readonly client: ScriptedRedis
  readonly call: StoreCall
  readonly keys: Keys
  readonly clock: Clock
  /** Default 24 h. */
  readonly keepEndedMs?: number
}

/** What is stored of a connection, as far as its due time goes. */
export interface Look {
  readonly exists: boolean
  /** Whether the record is still that one. */
  is(header: Header): boolean
  /** The earliest time at which a grant, link or flow wants work. */
  readonly waiting: number | undefined
  /** Events that wait for their relay. */
  readonly outbox: number
}

/** The zsets beside the records. They live in other slots, so their order around the write keeps them right (`DESIGN.md` §4). */
export interface Indexes {
  readonly keepEndedMs: number
  /** Step 1, before a record's first write, and once more after it: a record is never unlisted. */
  list(ref: ConnectionRef): Promise<void>
  /** Step 2, before a write that may need work afterwards: the due entry may be early, never late or missing. */
  dueSoon(ref: ConnectionRef): Promise<void>
  /** Step 4, after a write that does not know when the record itself is due: at `at` or before. */
  dueBy(ref: ConnectionRef, at: number): Promise<void>
  /** Step 4, after the write: the true due time, the earlier of the record's `own` and of what waits beside it. */
  dueAt(ref: ConnectionRef, written: Header, own: number | undefined, waiting: number | undefined): Promise<void>
  look(ref: ConnectionRef): Promise<Look>
  /** Lists a connection that is not active under its status; `before` is undefined when unknown. */
  status(written: Pick<Connection, 'ref' | 'status'>, before: Status | 'absent' | undefined): Promise<void>
  /** Forgets a connection without a record. */
  drop(ref: ConnectionRef): Promise<void>
  /** Ids of a tenant's connections in order, after `after`. */
  range(tenant: string, after: string | undefined, limit: number): Promise<string[]>
}

/** Makes the index writers of one store. */
export function createIndexes({ client, call, keys, clock, keepEndedMs = KEEP_ENDED_MS }: IndexesDeps): Indexes {
  async function list(ref: ConnectionRef): Promise<void> {
    await call(client.zadd(keys.index(ref.tenant), 0, refKey(ref)))
  }

  async function dueBy(ref: ConnectionRef, at: number): Promise<void> {
    await call(client.zadd(keys.due(ref), 'LT', at, refKey(ref)))
  }

  const dueSoon = (ref: ConnectionRef) => dueBy(ref, clock.now() + EARLY_MS)

  async function look(ref: ConnectionRef): Promise<Look> {
    const [exists, stored, due, outbox] = await call(
      client.ztbLookBuffer(keys.record(ref), keys.grants(ref), keys.connect(ref), keys.outbox(ref), keepEndedMs)
    )
    return {
      exists: exists === 1,
      is: (header) => stored.equals(encodeHeader(header)),
      waiting: due ?? undefined,
      outbox
    }
  }

  async function unlist(ref: ConnectionRef, statuses: readonly Exclude<Status, 'active'>[]): Promise<void> {
    await Promise.all(statuses.map((status) => call(client.zrem(keys.status(status), refKey(ref)))))
  }

  async function status(
    { ref, status }: Pick<Connection, 'ref' | 'status'>,
    before: Status | 'absent' | undefined
  ): Promise<void> {
    if (status === before) return
    if (status !== 'active') await call(client.zadd(keys.status(status), 0, refKey(ref)))
    await unlist(
      ref,
      LISTED.filter((other) => other !== status && (before === undefined || other === before))
    )
  }

  return {
    keepEndedMs,
    list,
    dueSoon,
    dueBy,
    look,
    status,

    async dueAt(ref, written, own, waiting) {
      const at = earliest(own, waiting)
      if (at === undefined) await call(client.zrem(keys.due(ref), refKey(ref)))
      else await call(client.zadd(keys.due(ref), at, refKey(ref)))
      // A later write may have set its own time before we set ours. Whoever finds that out has it looked at soon.
      const now = await look(ref)
      if (!now.is(written) || now.waiting !== waiting || now.outbox > 0) await dueSoon(ref)
    },

    async drop(ref) {
      await Promise.all([unlist(ref, LISTED), call(client.zrem(keys.index(ref.tenant), refKey(ref)))])
      // Last, so that a crash before it brings the sweep here again.
      await call(client.zrem(keys.due(ref), refKey(ref)))
      // A first write may have come in between; it lists itself again too, so one of us is the later.
      const bytes = await call(client.getrangeBuffer(keys.record(ref), STATUS_OFFSET, STATUS_OFFSET))
      const born = bytes[0] === undefined ? undefined : statusOf(bytes[0])
      if (born === undefined) return
      await Promise.all([list(ref), dueSoon(ref), status({ ref, status: born }, undefined)])
    },

    async range(tenant, after, limit) {
      const from = `(${tenant}/${after ?? ''}`
      // '0' is the character after '/': the end of this tenant's members.
      const members = await call(client.zrangebylex(keys.index(tenant), from, `(${tenant}0`, 'LIMIT', 0, limit))
      return members.map((member) => member.slice(tenant.length + 1))
    }
  }
}

function earliest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other)
}

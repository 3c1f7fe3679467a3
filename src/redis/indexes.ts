import type { Connection, Status } from '../domain/connection.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { Clock } from '../domain/ports.ts'
import type { Keys } from './keys.ts'
import { encodeHeader } from './record.ts'
import type { ScriptedRedis } from './scripts.ts'
import type { StoreCall } from './store-call.ts'

/** How soon a connection is looked at when its writer died between the write and the true due time, in ms. */
const EARLY_MS = 30_000

const LISTED: readonly Exclude<Status, 'active'>[] = ['pending', 'reconnect_required', 'disconnecting', 'disconnected']

export interface IndexesDeps {
  readonly client: ScriptedRedis
  readonly call: StoreCall
  readonly keys: Keys
  readonly clock: Clock
}

/** The zsets beside the records. They live in other slots, so their order around the write keeps them right (`DESIGN.md` §4). */
export interface Indexes {
  /** Step 1, before a record's first write: a record is never unlisted. */
  list(ref: ConnectionRef): Promise<void>
  /** Step 2, before a write that may need work afterwards: the due entry may be early, never late or missing. */
  dueSoon(ref: ConnectionRef): Promise<void>
  /** Step 4, after the write: the true due time. */
  dueAt(written: Connection, at: number | undefined): Promise<void>
  /** Lists a connection that is not active under its status; `before` is undefined when unknown. */
  status(written: Connection, before: Status | 'absent' | undefined): Promise<void>
  /** Ids of a tenant's connections in order, after `after`. */
  range(tenant: string, after: string | undefined, limit: number): Promise<string[]>
}

/** Makes the index writers of one store. */
export function createIndexes({ client, call, keys, clock }: IndexesDeps): Indexes {
  async function dueSoon(ref: ConnectionRef): Promise<void> {
    await call(client.zadd(keys.due(ref), 'LT', clock.now() + EARLY_MS, refKey(ref)))
  }

  return {
    async list(ref) {
      await call(client.zadd(keys.index(ref.tenant), 0, refKey(ref)))
    },

    dueSoon,

    async dueAt(written, at) {
      const { ref } = written
      if (at === undefined) await call(client.zrem(keys.due(ref), refKey(ref)))
      else await call(client.zadd(keys.due(ref), at, refKey(ref)))
      // A later write may have set its own time before we set ours. Whoever finds that out has it looked at soon.
      const header = await call(client.getrangeBuffer(keys.record(ref), 1, 16))
      if (!header.equals(encodeHeader(written))) await dueSoon(ref)
    },

    async status({ ref, status }, before) {
      if (status === before) return
      const member = refKey(ref)
      const others = LISTED.filter((other) => other !== status && (before === undefined || other === before))
      if (status !== 'active') await call(client.zadd(keys.status(status), 0, member))
      await Promise.all(others.map((other) => call(client.zrem(keys.status(other), member))))
    },

    async range(tenant, after, limit) {
      const from = `(${tenant}/${after ?? ''}`
      // '0' is the character after '/': the end of this tenant's members.
      const members = await call(client.zrangebylex(keys.index(tenant), from, `(${tenant}0`, 'LIMIT', 0, limit))
      return members.map((member) => member.slice(tenant.length + 1))
    }
  }
}

import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { Keys } from './keys.ts'
import type { ScriptedRedis } from './scripts.ts'
import type { StoreCall } from './store-call.ts'

/** Outbox entries taken at a time. */
const PAGE = 100

/** How long an empty outbox stays, in ms. */
const EMPTY_OUTBOX_MS = 86_400_000

export interface AuditLogDeps {
  readonly client: ScriptedRedis
  readonly call: StoreCall
  readonly keys: Pick<Keys, 'outbox' | 'audit'>
  /** About how many events the audit stream keeps. Default 200 000. */
  readonly maxLength?: number
}

export interface AuditLog {
  /**
   * Moves a connection's outbox to the audit stream. After a crash between copy and removal an event is there twice:
   * readers drop doubles by connection and outbox id. Throws `ERR_STORE_UNAVAILABLE`.
   */
  relayOutbox(ref: ConnectionRef): Promise<void>
}

/** The writing side of the audit stream (`ztb:audit`; fields `connection`, `id`, `event`). */
export function createAuditLog({ client, call, keys, maxLength = 200_000 }: AuditLogDeps): AuditLog {
  async function relayPage(ref: ConnectionRef): Promise<number> {
    const entries = await call(client.xrange(keys.outbox(ref), '-', '+', 'COUNT', PAGE))
    if (entries.length === 0) return 0
    const ids = entries.map(([id]) => id)
    for (const [id, [, event = '']] of entries) {
      const fields = ['connection', refKey(ref), 'id', id, 'event', event]
      await call(client.xadd(keys.audit, 'MAXLEN', '~', maxLength, '*', ...fields))
    }
    await call(client.ztbRelayed(keys.outbox(ref), EMPTY_OUTBOX_MS, ...ids))
    return entries.length
  }

  return {
    async relayOutbox(ref) {
      let moved: number
      do moved = await relayPage(ref)
      while (moved === PAGE)
    }
  }
}

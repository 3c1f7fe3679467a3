import type { AuditSink } from '../domain/connect-ports.ts'
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
  /** Appended events under way at most. Default 1000. */
  readonly maxPending?: number
  /** An appended event could not be written, or was one too many. */
  readonly onLost?: () => void
}

export interface AuditLog extends AuditSink {
  /**
   * Moves a connection's outbox to the audit stream. After a crash between copy and removal an event is there twice:
   * readers drop doubles by connection and outbox id. Throws `ERR_STORE_UNAVAILABLE`.
   */
  relayOutbox(ref: ConnectionRef): Promise<void>
}

/** The writing side of the audit stream (`ztb:audit`; fields `connection`, `id`, `event`, the first two empty where there is none). */
export function createAuditLog(deps: AuditLogDeps): AuditLog {
  const { client, call, keys, maxLength = 200_000, maxPending = 1000 } = deps
  let pending = 0

  async function add(connection: string, id: string, event: string): Promise<void> {
    const fields = ['connection', connection, 'id', id, 'event', event]
    await call(client.xadd(keys.audit, 'MAXLEN', '~', maxLength, '*', ...fields))
  }

  async function relayPage(ref: ConnectionRef): Promise<number> {
    const entries = await call(client.xrange(keys.outbox(ref), '-', '+', 'COUNT', PAGE))
    if (entries.length === 0) return 0
    for (const [id, [, event = '']] of entries) await add(refKey(ref), id, event)
    await call(client.ztbRelayed(keys.outbox(ref), EMPTY_OUTBOX_MS, ...entries.map(([id]) => id)))
    return entries.length
  }

  return {
    append(event, ref) {
      if (pending >= maxPending) {
        deps.onLost?.()
        return
      }
      pending++
      add(ref ? refKey(ref) : '', '', JSON.stringify(event))
        .catch(() => deps.onLost?.())
        .finally(() => pending--)
    },

    async relayOutbox(ref) {
      let moved: number
      do moved = await relayPage(ref)
      while (moved === PAGE)
    }
  }
}

import type { AuditSink, Tombstones } from '../domain/connect-ports.ts'
import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { Indexes } from './indexes.ts'
import type { Keys } from './keys.ts'
import { encodeHeader } from './record.ts'
import type { ScriptedRedis } from './scripts.ts'
import { type StoreCall, storeUnavailable } from './store-call.ts'

/** How often events that come while it is emptied make a removal begin again. */
const TRIES = 3

export interface TombstonesDeps {
  readonly client: ScriptedRedis
  readonly call: StoreCall
  readonly keys: Keys
  readonly indexes: Indexes
  readonly auditLog: Pick<AuditSink, 'relayOutbox'>
  /** A removed record whose indexes could not be cleared: its early due entry has it done later. */
  readonly onUnfinished?: (ref: ConnectionRef, error: unknown) => void
}

/** The end of records in Redis. */
export function createTombstones(deps: TombstonesDeps): Tombstones {
  const { client, call, keys, indexes, auditLog } = deps

  async function remove(ref: ConnectionRef, header: Buffer): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries++) {
      // No event goes with the record: what waits is relayed first.
      await auditLog.relayOutbox(ref)
      const answer = await call(
        client.ztbRemove(
          keys.record(ref),
          keys.outbox(ref),
          keys.lease(ref),
          keys.budget(ref),
          keys.grants(ref),
          keys.connect(ref),
          keys.exposure(ref),
          header
        )
      )
      if (answer === 'too_new') {
        throw new BrokerError(
          'ERR_RECORD_TOO_NEW',
          `The record of ${refKey(ref)} was written by a newer version of the broker; this one does not remove it.`
        )
      }
      if (answer !== 'outbox') return answer === 'removed'
    }
    throw storeUnavailable(new Error('The outbox is filled faster than it is emptied'))
  }

  return {
    async remove(ref, seen) {
      // Whoever dies after the removal is followed by the sweep, which finds no record and clears the indexes.
      await indexes.dueSoon(ref)
      if (!(await remove(ref, encodeHeader(seen)))) return false
      try {
        await indexes.drop(ref)
      } catch (error) {
        deps.onUnfinished?.(ref, error)
      }
      return true
    }
  }
}

import type { Change } from './change.ts'
import type { ConnectItems, ConnectStore } from './connect-ports.ts'
import type { Connection } from './connection.ts'
import { BrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Clock, ConnectionStore, WaitingGrant, WakeUp } from './ports.ts'
import { dueAt } from './schedule.ts'

/** All that is stored of one connection, read in this order: a write guarded by the record sees later changes of the rest. */
export interface WholeConnection {
  readonly connection: Connection | undefined
  readonly waiting: readonly WaitingGrant[]
  readonly items: ConnectItems
}

/** Reads everything, decides, writes; decides again when somebody else wrote in between. `decide` gives undefined for no change. */
export type RecordUpdate = (
  ref: ConnectionRef,
  decide: (whole: WholeConnection) => Change | undefined,
  options?: { readonly durable?: boolean }
) => Promise<{ readonly connection: Connection | undefined; readonly changed: boolean }>

export interface RecordUpdateDeps {
  readonly store: ConnectionStore
  readonly connectStore: ConnectStore
  readonly wakeUp: WakeUp
  readonly clock: Clock
}

/** After so many lost races something is wrong with more than luck. */
const TRIES = 20

/** Makes the one way in which admins, callbacks and the sweep change a record. */
export function createRecordUpdate(deps: RecordUpdateDeps): RecordUpdate {
  const { store, wakeUp, clock } = deps

  return async (ref, decide, options = {}) => {
    for (let tries = 0; tries < TRIES; tries++) {
      const whole = await readWhole(deps, ref)
      const change = decide(whole)
      if (!change) return { connection: whole.connection, changed: false }
      const committed = await store.commit({
        seen: whole.connection,
        next: change.next,
        grants: change.grants,
        events: change.events,
        ...(change.connect && { connect: change.connect }),
        dueAt: dueAt(change.next, clock.now()),
        durable: options.durable ?? false
      })
      if (committed.kind === 'written') {
        wakeUp.publish(ref)
        return { connection: change.next, changed: true }
      }
    }
    throw new BrokerError(
      'ERR_BUSY',
      'This connection is being changed by many at once; repeat after the time in Retry-After.',
      {
        retryAfterMs: 1000
      }
    )
  }
}

/** Everything stored of a connection. */
export async function readWhole(
  { store, connectStore }: Pick<RecordUpdateDeps, 'store' | 'connectStore'>,
  ref: ConnectionRef
): Promise<WholeConnection> {
  const connection = await store.read(ref)
  const [waiting, items] = await Promise.all([store.waitingGrants(ref), connectStore.items(ref)])
  return { connection, waiting, items }
}

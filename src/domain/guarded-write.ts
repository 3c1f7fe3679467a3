import type { Change } from './change.ts'
import type { Connection } from './connection.ts'
import { isBrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Charge, Clock, CommitInput, ConnectionStore, Emit, WakeUp } from './ports.ts'
import { dueAt } from './schedule.ts'
import type { Shield } from './shield.ts'

export interface SaveInput<Base extends Connection | undefined> {
  readonly ref: ConnectionRef
  readonly seen: Base
  /** The pure transition, with what else it has to look at; applied again to a newer record while `applies` says so. */
  readonly apply: (base: Base) => Change | Promise<Change>
  readonly applies: (seen: Connection, current: Connection | undefined) => current is Connection
  readonly what: 'refresh' | 'import'
  readonly owner: string
  readonly giveBack?: Charge
  readonly durable?: boolean
  /** A good answer of Zoho: when the store fails, those who wait are served from memory and the write goes on behind. */
  readonly serveUnsaved: boolean
}

export interface Saved {
  /** What is stored now, or will be; undefined when the record is gone. */
  readonly connection: Connection | undefined
  /** Whether our change is (or, unsaved, will be) the one stored. */
  readonly ours: boolean
}

export interface GuardedWrite {
  save<Base extends Connection | undefined>(input: SaveInput<Base>): Promise<Saved>
}

export interface GuardedWriteDeps {
  readonly store: ConnectionStore
  readonly wakeUp: WakeUp
  readonly clock: Clock
  readonly emit: Emit
  readonly shield: Shield
  /** How long a write whose content cannot be had again is repeated, and the pause between two tries. */
  readonly settings: { readonly storeRetryMs: number; readonly storeRetryPauseMs: number }
}

/** Writes a change if nobody else wrote in between, else decides anew; what Zoho gave is not dropped for a store that stumbles. */
export function createGuardedWrite(deps: GuardedWriteDeps): GuardedWrite {
  const { wakeUp, clock, emit, shield, settings } = deps

  return {
    async save(input) {
      const plan: Plan = { seen: input.seen, change: undefined }
      try {
        return await attempt(input, plan)
      } catch (error) {
        if (!isBrokerError(error, 'ERR_STORE_UNAVAILABLE') || !input.serveUnsaved) throw error
        const behind = shield.run(() => insist(input, plan))
        if (input.durable || !plan.change) return behind
        behind.catch(() => {})
        return { connection: plan.change.next, ours: true }
      }
    }
  }

  async function attempt<Base extends Connection | undefined>(input: SaveInput<Base>, plan: Plan): Promise<Saved> {
    for (;;) {
      plan.change ??= await input.apply(plan.seen as Base)
      const { seen, change } = plan
      const committed = await deps.store.commit(commitInput(input, seen, change, clock.now()))
      if (committed.kind === 'written') {
        wakeUp.publish(input.ref)
        return { connection: change.next, ours: true }
      }
      if (committed.connectChanged || !input.seen || !input.applies(input.seen, committed.current)) {
        emit({ type: 'write.refused', ref: input.ref, what: input.what })
        await freeLease(input.ref, input.owner, input.giveBack)
        return { connection: committed.current, ours: false }
      }
      plan.seen = committed.current
      plan.change = undefined
    }
  }

  /** A write that is not made does not end its lease. */
  async function freeLease(ref: ConnectionRef, owner: string, giveBack: Charge | undefined): Promise<void> {
    await deps.store.release(ref, owner, giveBack).then(
      () => wakeUp.publish(ref),
      () => {}
    )
  }

  /** The same plan with the same write id: if an earlier try was written after all, the store says so. */
  async function insist<Base extends Connection | undefined>(input: SaveInput<Base>, plan: Plan): Promise<Saved> {
    const { ref } = input
    const until = clock.now() + settings.storeRetryMs
    for (let tries = 1; ; tries++) {
      await new Promise((resolve) => setTimeout(resolve, settings.storeRetryPauseMs))
      emit({ type: 'store.retried', ref, attempt: tries })
      try {
        return await attempt(input, plan)
      } catch (error) {
        if (isBrokerError(error, 'ERR_STORE_UNAVAILABLE') && clock.now() < until) continue
        emit({ type: 'store.gave_up', ref })
        throw error
      }
    }
  }
}

/** What is to be written over what; decided anew when the record changed and the transition still applies. */
interface Plan {
  seen: Connection | undefined
  change: Change | undefined
}

function commitInput<Base extends Connection | undefined>(
  input: SaveInput<Base>,
  seen: Connection | undefined,
  change: Change,
  now: number
): CommitInput {
  return {
    seen,
    next: change.next,
    owner: input.owner,
    ...(input.giveBack !== undefined && { giveBack: input.giveBack }),
    ...(change.closeBudgetUntil !== undefined && { closeBudgetUntil: change.closeBudgetUntil }),
    grants: change.grants,
    events: change.events,
    ...(change.connect && { connect: change.connect }),
    dueAt: dueAt(change.next, now),
    durable: input.durable ?? false
  }
}

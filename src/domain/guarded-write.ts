import type { Change } from './change.ts'
import type { Connection } from './connection.ts'
import { isBrokerError } from './errors.ts'
import type { Charge, Clock, CommitInput, ConnectionStore, Emit, WakeUp } from './ports.ts'
import { dueAt } from './schedule.ts'
import type { Shield } from './shield.ts'

export interface SaveInput<Base extends Connection | undefined> {
  readonly seen: Base
  /** The pure transition; applied again to a newer record while `applies` says so. */
  readonly apply: (base: Base) => Change
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
      const plan: Plan = { seen: input.seen, change: input.apply(input.seen) }
      try {
        return await attempt(input, plan)
      } catch (error) {
        if (!isBrokerError(error, 'ERR_STORE_UNAVAILABLE') || !input.serveUnsaved) throw error
        const behind = shield.run(() => insist(input, plan))
        if (input.durable) return behind
        behind.catch(() => {})
        return { connection: plan.change.next, ours: true }
      }
    }
  }

  async function attempt<Base extends Connection | undefined>(input: SaveInput<Base>, plan: Plan): Promise<Saved> {
    for (;;) {
      const { seen, change } = plan
      const committed = await deps.store.commit(commitInput(input, seen, change, clock.now()))
      if (committed.kind === 'written') {
        wakeUp.publish(change.next.ref)
        return { connection: change.next, ours: true }
      }
      if (!input.seen || !input.applies(input.seen, committed.current)) {
        emit({ type: 'write.refused', ref: change.next.ref, what: input.what })
        return { connection: committed.current, ours: false }
      }
      plan.seen = committed.current
      plan.change = input.apply(committed.current as Base)
    }
  }

  /** The same plan with the same write id: if an earlier try was written after all, the store says so. */
  async function insist<Base extends Connection | undefined>(input: SaveInput<Base>, plan: Plan): Promise<Saved> {
    const { ref } = plan.change.next
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

/** What is to be written over what; replaced when the record changed and the transition still applies. */
interface Plan {
  seen: Connection | undefined
  change: Change
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
    dueAt: earliest(dueAt(change.next, now), change.grants),
    durable: input.durable ?? false
  }
}

function earliest(due: number | undefined, grants: Change['grants']): number | undefined {
  const dues = grants.flatMap(({ entry }) => (entry === undefined ? [] : [Number(JSON.parse(entry).due)]))
  return due === undefined && dues.length === 0 ? undefined : Math.min(...dues, due ?? Number.POSITIVE_INFINITY)
}

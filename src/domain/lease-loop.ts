import type { Connection } from './connection.ts'
import { BrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Charge, Clock, ConnectionStore, Emit, Ids, Share, WakeUp } from './ports.ts'

export interface LeaseSettings {
  readonly leaseTtlMs: number
  /** How long to wait for somebody else's lease. */
  readonly callerDeadlineMs: number
  /** After this time a lease is not prolonged any more. */
  readonly leaseMaxMs: number
  /** How often a waiter looks by itself, without a wake-up. */
  readonly waitPollMs: number
  readonly budgetWindowMs: number
  /** Upstream refreshes in a window, by who pays. */
  readonly shares: { readonly [S in Share]: number }
}

export interface LeaseWish {
  readonly seen: Connection | undefined
  readonly share: Share
  /** Looks at each new state: a reason to stop before anything is taken, or undefined to go on. */
  readonly stop: (current: Connection | undefined) => { why?: BrokerError } | undefined
}

export interface Held {
  readonly owner: string
  readonly charge: Charge
  /** Says that the request left: from then on a throw does not give the charge back. */
  readonly spent: () => void
}

export type LeaseOutcome =
  | { readonly kind: 'stopped'; readonly current: Connection | undefined; readonly why?: BrokerError }
  | {
      readonly kind: 'held'
      readonly current: Connection | undefined
      /** Runs the work under the lease and keeps prolonging it; on a throw the lease is given back, and the charge unless it is spent. */
      holding<T>(work: (held: Held) => Promise<T>): Promise<T>
    }

export type LeaseLoop = (ref: ConnectionRef, wish: LeaseWish) => Promise<LeaseOutcome>

export interface LeaseDeps {
  readonly store: ConnectionStore
  readonly wakeUp: WakeUp
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  readonly settings: LeaseSettings
}

/** Takes lease and charge for a connection, waiting for others and looking again whenever the record changed. */
export function createLeaseLoop(deps: LeaseDeps): LeaseLoop {
  const { store, wakeUp, clock, ids, emit, settings } = deps

  async function begin(ref: ConnectionRef, owner: string, wish: LeaseWish, seen: Connection | undefined) {
    try {
      return await store.begin({
        ref,
        seen,
        owner,
        ttlMs: settings.leaseTtlMs,
        share: wish.share,
        limit: settings.shares[wish.share],
        windowMs: settings.budgetWindowMs,
        now: clock.now()
      })
    } catch (error) {
      // Perhaps only the answer was lost: a lease of nobody would stop everybody for its whole life.
      store.release(ref, owner).catch(() => {})
      throw error
    }
  }

  return async (ref, wish) => {
    const owner = ids.owner()
    const started = clock.now()
    let waited = false
    let current = wish.seen
    for (;;) {
      const stop = wish.stop(current)
      if (stop) return stopped(current, stop.why)
      const begun = await begin(ref, owner, wish, current)
      const leftMs = started + settings.callerDeadlineMs - clock.now()
      switch (begun.kind) {
        case 'go': {
          if (waited) emit({ type: 'lease.waited', ref, ms: clock.now() - started })
          const { charge } = begun
          return { kind: 'held', current, holding: (work) => holding(deps, ref, owner, charge, work) }
        }
        case 'over':
          emit({ type: 'budget.refused', ref, share: wish.share })
          return stopped(current, overBudget(begun.until - clock.now()))
        case 'changed':
          if (leftMs <= 0) return stopped(begun.current, busy(1000))
          current = begun.current
          break
        case 'held':
          if (leftMs <= 0) return stopped(current, busy(begun.forMs))
          waited = true
          await wakeUp.wait(ref, Math.max(1, Math.min(begun.forMs, settings.waitPollMs, leftMs)))
          current = await store.read(ref)
      }
    }
  }
}

async function holding<T>(
  deps: LeaseDeps,
  ref: ConnectionRef,
  owner: string,
  charge: Charge,
  work: (held: Held) => Promise<T>
): Promise<T> {
  const { store, wakeUp, settings, emit } = deps
  let giveBack: Charge | undefined = charge
  const spent = () => {
    giveBack = undefined
  }
  const started = performance.now()
  const renewal = setInterval(() => {
    if (performance.now() - started > settings.leaseMaxMs) return clearInterval(renewal)
    // Nothing is aborted on a lost lease: the guarded write decides.
    store.renew(ref, owner, settings.leaseTtlMs).then(
      (kept) => {
        if (!kept) emit({ type: 'lease.lost', ref })
      },
      () => {}
    )
  }, settings.leaseTtlMs / 3)
  try {
    return await work({ owner, charge, spent })
  } catch (error) {
    await store.release(ref, owner, giveBack).then(
      () => wakeUp.publish(ref),
      () => {}
    )
    throw error
  } finally {
    clearInterval(renewal)
  }
}

function stopped(current: Connection | undefined, why: BrokerError | undefined): LeaseOutcome {
  return { kind: 'stopped', current, ...(why && { why }) }
}

function busy(retryAfterMs: number): BrokerError {
  return new BrokerError(
    'ERR_BUSY',
    'Another process is at work on this connection; repeat after the time in Retry-After.',
    {
      retryAfterMs: Math.max(1, retryAfterMs)
    }
  )
}

function overBudget(retryAfterMs: number): BrokerError {
  return new BrokerError(
    'ERR_REFRESH_BUDGET',
    'This connection was refreshed as often as Zoho allows for now; repeat after the time in Retry-After.',
    {
      retryAfterMs: Math.max(1, retryAfterMs)
    }
  )
}

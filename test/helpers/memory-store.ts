import type { Connection } from '../../src/domain/connection.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import { type ConnectionRef, refKey } from '../../src/domain/ids.ts'
import type {
  AuditEvent,
  Begun,
  Clock,
  CommitInput,
  Committed,
  ConnectionStore,
  WakeUp
} from '../../src/domain/ports.ts'
import { encodeWaitingGrant } from '../../src/redis/waiting-grants.ts'
import { type Cell, changeConnect, emptyCell, grantsOf, matches, trueDue } from './memory-cell.ts'
import { type ConnectPorts, createMemoryConnect } from './memory-connect.ts'

type Method = keyof ConnectionStore | keyof ConnectPorts

/** What goes wrong with a call: nothing happens, it happens and the answer is lost, or it waits first. */
export type Fault = 'fail' | 'lose_reply' | { readonly delay: Promise<unknown> }

/** The in-memory twin of everything stored in Redis, and of the wake-up, with switches for what can go wrong. */
export interface MemoryStore extends ConnectionStore, WakeUp, ConnectPorts {
  /** While true every call fails with `ERR_STORE_UNAVAILABLE`. */
  away: boolean
  /** The next call of that method meets the fault; several are met in order. */
  next(method: Method, fault: Fault): void
  /** Calls made so far, by method. */
  calls(method: Method): number
  /** Waiters under way. */
  waiting(ref: ConnectionRef): number
  /** Who holds the lease. */
  lease(ref: ConnectionRef): string | undefined
  budget(ref: ConnectionRef): readonly string[]
  dueAt(ref: ConnectionRef): number | undefined
  /** The grants that are not current, as they are stored. */
  grantEntries(ref: ConnectionRef): Readonly<Record<string, string>>
  events(ref: ConnectionRef): readonly AuditEvent[]
  /** Events that belong to no connection. */
  looseEvents(): readonly AuditEvent[]
}

/** Makes an empty store whose leases end by `clock`. A wait ends by a real timer. */
export function createMemoryStore({ clock }: { clock: Clock }): MemoryStore {
  const cells = new Map<string, Cell>()
  const waiters = new Map<string, Set<() => void>>()
  const faults = new Map<Method, Fault[]>()
  const counts = new Map<Method, number>()
  const loose: AuditEvent[] = []

  function cell(ref: ConnectionRef): Cell {
    const key = refKey(ref)
    const found = cells.get(key) ?? emptyCell(ref)
    cells.set(key, found)
    return found
  }

  function holder(ref: ConnectionRef): string | undefined {
    const { lease } = cell(ref)
    return lease && lease.until > clock.now() ? lease.owner : undefined
  }

  /** Every call takes a turn of the loop, as over a socket, and meets the fault that waits for it. */
  async function run<T>(method: Method, work: () => T): Promise<T> {
    counts.set(method, (counts.get(method) ?? 0) + 1)
    const fault = faults.get(method)?.shift()
    await new Promise(setImmediate)
    if (typeof fault === 'object') await fault.delay
    if (store.away || fault === 'fail') throw unavailable()
    const answer = work()
    if (fault === 'lose_reply') throw unavailable()
    return answer
  }

  function begin(input: Parameters<ConnectionStore['begin']>[0]): Begun {
    const at = cell(input.ref)
    if (!matches(at.record, input.seen)) return { kind: 'changed', current: at.record }
    refuseNewer(at.record)
    const lease = at.lease
    if (lease && lease.until > clock.now()) return { kind: 'held', forMs: lease.until - clock.now() }
    at.budget = at.budget.filter((entry) => endOf(entry, input.windowMs) > input.now)
    const until = overUntil(at.budget, input)
    if (until !== undefined) return { kind: 'over', until }
    const charge = `${input.now}:${input.share}:${input.owner}`
    at.lease = { owner: input.owner, until: clock.now() + input.ttlMs }
    at.budget.push(charge)
    return { kind: 'go', charge }
  }

  function commit(input: CommitInput): Committed {
    const { next } = input
    const at = cell(next.ref)
    if (!matches(at.record, input.seen)) {
      if (at.record?.writeId === next.writeId) return { kind: 'written' }
      return { kind: 'lost', current: at.record }
    }
    refuseNewer(at.record)
    refuseNewer(next)
    if (!changeConnect(at, input.connect ?? [])) return { kind: 'lost', current: at.record, connectChanged: true }
    // A copy, as from the wire: nobody may count on being handed his own object.
    at.record = structuredClone(next)
    for (const { number, entry } of input.grants ?? []) {
      if (entry === undefined) at.grants.delete(number)
      else at.grants.set(number, encodeWaitingGrant(entry))
    }
    at.events.push(...(input.events ?? []))
    at.dueAt = trueDue(at, input.dueAt)
    giveBack(at, input.giveBack)
    if (input.closeBudgetUntil !== undefined) at.budget.push(`${input.closeBudgetUntil}:closed:${next.writeId}`)
    if (input.owner !== undefined) free(at, input.owner)
    return { kind: 'written' }
  }

  function list(tenant: string, { after = '', limit }: { after?: string; limit: number }) {
    const all = [...cells.values()]
      .flatMap(({ record }) => (record?.ref.tenant === tenant && record.ref.connection > after ? [record] : []))
      .sort((a, b) => (a.ref.connection < b.ref.connection ? -1 : 1))
    const items = all.slice(0, limit)
    const last = items.at(-1)
    return all.length > limit && last ? { items, next: last.ref.connection } : { items }
  }

  const store: MemoryStore = {
    ...createMemoryConnect({ clock, cells, cell, run, isAway: () => store.away, loose }),
    away: false,
    read: (ref) => run('read', () => cell(ref).record),
    list: (tenant, options) => run('list', () => list(tenant, options)),
    begin: (input) => run('begin', () => begin(input)),
    commit: (input) => run('commit', () => commit(input)),
    renew: (ref, owner, ttlMs) =>
      run('renew', () => {
        if (holder(ref) !== owner) return false
        cell(ref).lease = { owner, until: clock.now() + ttlMs }
        return true
      }),
    release: (ref, owner, charge) =>
      run('release', () => {
        giveBack(cell(ref), charge)
        free(cell(ref), owner)
      }),
    waitingGrants: (ref) => run('waitingGrants', () => grantsOf(cell(ref))),

    publish(ref) {
      for (const resume of waiters.get(refKey(ref)) ?? []) setImmediate(resume)
    },
    wait: (ref, ms) =>
      new Promise((resolve) => {
        const here = waiters.get(refKey(ref)) ?? new Set()
        waiters.set(refKey(ref), here)
        const resume = () => {
          clearTimeout(timer)
          here.delete(resume)
          resolve()
        }
        const timer = setTimeout(resume, ms)
        here.add(resume)
      }),

    next(method, fault) {
      faults.set(method, [...(faults.get(method) ?? []), fault])
    },
    calls: (method) => counts.get(method) ?? 0,
    waiting: (ref) => waiters.get(refKey(ref))?.size ?? 0,
    lease: holder,
    budget: (ref) => cell(ref).budget,
    dueAt: (ref) => cell(ref).dueAt,
    grantEntries: (ref) => Object.fromEntries(cell(ref).grants),
    events: (ref) => cell(ref).events,
    looseEvents: () => loose
  }
  return store
}

function free(at: Cell, owner: string): void {
  if (at.lease?.owner === owner) delete at.lease
}

function giveBack(at: Cell, charge: string | undefined): void {
  const i = charge === undefined ? -1 : at.budget.indexOf(charge)
  if (i >= 0) at.budget.splice(i, 1)
}

/** When an entry of the budget stops to count. */
function endOf(entry: string, windowMs: number): number {
  const [time, share] = entry.split(':')
  return Number(time) + (share === 'closed' ? 0 : windowMs)
}

function overUntil(
  budget: readonly string[],
  { share, limit, windowMs, now }: Parameters<ConnectionStore['begin']>[0]
): number | undefined {
  const ends = (wanted: string) =>
    budget
      .filter((entry) => entry.split(':')[1] === wanted)
      .map((entry) => endOf(entry, windowMs))
      .sort((a, b) => a - b)
  const own = ends(share)
  const freeAt = own.length < limit ? 0 : (own[own.length - limit] ?? now + windowMs)
  const until = Math.max(freeAt, ends('closed').at(-1) ?? 0)
  return until > 0 ? until : undefined
}

function refuseNewer(record: Connection | undefined): void {
  if (record?.readOnly) throw new BrokerError('ERR_RECORD_TOO_NEW', 'The record was written by a newer version.')
}

function unavailable(): BrokerError {
  return new BrokerError('ERR_STORE_UNAVAILABLE', 'The store did not answer. Try again shortly.', {
    retryAfterMs: 1000
  })
}

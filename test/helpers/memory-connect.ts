import type { ConnectState } from '../../src/domain/connect-link.ts'
import type { AuditSink, ConnectPointer, ConnectStore, DueIndex, Tombstones } from '../../src/domain/connect-ports.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { AuditEvent, Clock } from '../../src/domain/ports.ts'
import { type Cell, changeConnect, itemsOf, matches, trueDue } from './memory-cell.ts'

/** How soon a connection is looked at whose true due time a change does not know. */
const EARLY_MS = 30_000

/** The ports of connect, disconnect and the sweep. */
export type ConnectPorts = ConnectStore & DueIndex & Tombstones & AuditSink

interface MemoryConnectDeps {
  readonly clock: Clock
  readonly cells: ReadonlyMap<string, Cell>
  readonly cell: (ref: ConnectionRef) => Cell
  /** One call of the store, with its faults. */
  readonly run: <T>(method: keyof ConnectPorts, work: () => T) => Promise<T>
  readonly isAway: () => boolean
  /** Takes events that belong to no connection. */
  readonly loose: AuditEvent[]
}

/** The twin's side of connect, disconnect and the sweep. */
export function createMemoryConnect({ clock, cells, cell, run, isAway, loose }: MemoryConnectDeps): ConnectPorts {
  const passing = new Map<string, { readonly value: unknown; readonly until: number }>()

  function keep(key: string, value: unknown, lifeMs: number): void {
    passing.set(key, { value: structuredClone(value), until: clock.now() + lifeMs })
  }

  function kept<T>(key: string): T | undefined {
    const found = passing.get(key)
    return found && found.until > clock.now() ? (found.value as T) : undefined
  }

  function dueBy(at: Cell, time: number): void {
    at.dueAt = Math.min(at.dueAt ?? Number.POSITIVE_INFINITY, time)
  }

  function settle(at: Cell, dueAt: number | undefined): void {
    at.dueAt = trueDue(at, dueAt)
  }

  return {
    items: (ref) => run('items', () => itemsOf(cell(ref))),
    change: (ref, { changes, events = [] }) =>
      run('change', () => {
        const at = cell(ref)
        if (!changeConnect(at, changes)) return false
        at.events.push(...events)
        dueBy(at, trueDue(at, clock.now() + EARLY_MS) as number)
        return true
      }),
    pointToLink: (hash, pointer, lifeMs) => run('pointToLink', () => keep(`link:${hash}`, pointer, lifeMs)),
    findLink: (hash) => run('findLink', () => kept<ConnectPointer>(`link:${hash}`)),
    pointToFlow: (id, pointer, lifeMs) => run('pointToFlow', () => keep(`flow:${id}`, pointer, lifeMs)),
    findFlow: (id) => run('findFlow', () => kept<ConnectPointer>(`flow:${id}`)),
    putState: (hash, state, lifeMs) => run('putState', () => keep(`state:${hash}`, state, lifeMs)),
    takeState: (hash) =>
      run('takeState', () => {
        const state = kept<ConnectState>(`state:${hash}`)
        passing.delete(`state:${hash}`)
        return state
      }),

    claim: ({ now, limit, visibilityMs }) =>
      run('claim', () => {
        const due = [...cells.values()]
          .filter(({ dueAt }) => dueAt !== undefined && dueAt <= now)
          .sort((a, b) => (a.dueAt ?? 0) - (b.dueAt ?? 0))
          .slice(0, limit)
        for (const at of due) at.dueAt = now + visibilityMs
        return due.map(({ ref }) => ref)
      }),
    settle: (ref, seen, dueAt) =>
      run('settle', () => {
        const at = cell(ref)
        if (!matches(at.record, seen)) dueBy(at, clock.now() + EARLY_MS)
        else if (seen) settle(at, dueAt)
        else at.dueAt = undefined
      }),

    remove: (ref, seen) =>
      run('remove', () => {
        const at = cell(ref)
        if (!matches(at.record, seen)) return false
        delete at.record
        delete at.lease
        at.dueAt = undefined
        at.budget = []
        at.grants.clear()
        at.connect.clear()
        return true
      }),

    append(event, ref) {
      if (!isAway()) (ref ? cell(ref).events : loose).push(event)
    },
    relayOutbox: (ref) => run('relayOutbox', () => void cell(ref))
  }
}

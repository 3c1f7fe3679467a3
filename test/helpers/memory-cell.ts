import type { ConnectChange } from '../../src/domain/connect-link.ts'
import type { ConnectItems } from '../../src/domain/connect-ports.ts'
import type { Connection } from '../../src/domain/connection.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { AuditEvent, Seen, WaitingGrant } from '../../src/domain/ports.ts'
import { changeTexts, decodeConnectItems } from '../../src/redis/connect-items.ts'
import { decodeWaitingGrants } from '../../src/redis/waiting-grants.ts'

/** Ended links and flows are kept this long. */
const KEPT_MS = 86_400_000

/** What the twin keeps of one connection. */
export interface Cell {
  readonly ref: ConnectionRef
  record?: Connection
  lease?: { readonly owner: string; readonly until: number }
  dueAt?: number | undefined
  budget: string[]
  /** As stored: what is read is always a copy. */
  readonly grants: Map<number, string>
  readonly connect: Map<string, string>
  readonly events: AuditEvent[]
}

export function emptyCell(ref: ConnectionRef): Cell {
  return { ref, budget: [], grants: new Map(), connect: new Map(), events: [] }
}

export function matches(record: Connection | undefined, seen: Seen): boolean {
  return record?.revision === seen?.revision && record?.writeId === seen?.writeId
}

export function grantsOf({ ref, grants }: Cell): WaitingGrant[] {
  return decodeWaitingGrants(ref, Object.fromEntries(grants))
}

export function itemsOf({ ref, connect }: Cell): ConnectItems {
  return decodeConnectItems(ref, Object.fromEntries(connect))
}

/** Makes the changes if every link and flow is as it was seen; else none, and false. */
export function changeConnect({ connect }: Cell, changes: readonly ConnectChange[]): boolean {
  const all = changes.map(changeTexts)
  if (all.some(([field, seen]) => (connect.get(field) ?? '') !== seen)) return false
  for (const [field, , next] of all) {
    if (next === '') connect.delete(field)
    else connect.set(field, next)
  }
  return true
}

/** The earlier of the record's own time and of what waits beside it. */
export function trueDue(cell: Cell, own: number | undefined): number | undefined {
  const { links, flows } = itemsOf(cell)
  const times = [
    ...(own === undefined ? [] : [own]),
    ...grantsOf(cell).map(({ due }) => due),
    ...links.map(({ revokedAt, expiresAt }) => (revokedAt ?? expiresAt) + KEPT_MS),
    ...flows.flatMap(({ status, deadline, endedAt }) => {
      if (status !== 'done' && status !== 'failed') return [deadline]
      return endedAt === undefined ? [] : [endedAt + KEPT_MS]
    })
  ]
  return times.length === 0 ? undefined : Math.min(...times)
}

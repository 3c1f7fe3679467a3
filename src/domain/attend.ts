import { auditEvent, type Change, type Stamp } from './change.ts'
import type { ConnectChange } from './connect-link.ts'
import type { AuditSink, DueIndex, Tombstones } from './connect-ports.ts'
import { endedFlow, flowChange, isOpen, linkRefusal, overdueResult, prune } from './connect-rules.ts'
import type { Connection } from './connection.ts'
import { advanced, givenUp } from './grant-change.ts'
import type { ConnectionRef } from './ids.ts'
import type { Clock, ConnectionStore, GrantChange, Ids } from './ports.ts'
import type { RecordUpdate, WholeConnection } from './record-update.ts'
import type { Refresh } from './refresh.ts'
import { dueAt, proactiveRefreshAt } from './schedule.ts'

export interface AttendDeps {
  readonly store: ConnectionStore
  readonly update: RecordUpdate
  readonly refresh: Refresh
  readonly dueIndex: DueIndex
  readonly tombstones: Tombstones
  readonly audit: AuditSink
  readonly readWhole: (ref: ConnectionRef) => Promise<WholeConnection>
  readonly kickRevoke: (ref: ConnectionRef) => void
  readonly clock: Clock
  readonly ids: Ids
}

/** A connection whose refresh was refused for now is not looked at again before this time, unless it says when. */
const AGAIN_MS = 10_000

/** Looks at one connection that is due and does what is due: outbox, deadlines, revokes, refresh, removal. */
export function createAttend(deps: AttendDeps): (ref: ConnectionRef) => Promise<void> {
  const { update, refresh, dueIndex, tombstones, audit, kickRevoke, clock, ids } = deps

  return async (ref) => {
    await audit.relayOutbox(ref)
    await update(ref, endOverdue)
    const whole = await deps.readWhole(ref)
    const { connection, waiting } = whole
    if (!connection) return dueIndex.settle(ref, undefined, undefined)
    if (waiting.some(({ kind, due }) => kind === 'superseded' && due <= clock.now())) kickRevoke(ref)
    if (isOver({ ...whole, connection }, clock.now())) {
      await tombstones.remove(ref, connection)
      return
    }
    const { latest, notBefore } = await refreshIfDue(connection)
    const due = latest && ownDue({ ...whole, connection: latest }, clock.now())
    await dueIndex.settle(ref, latest, due === undefined ? undefined : Math.max(due, notBefore))
  }

  /** Flows past their deadline end, with the candidates that hang on them; what ended long ago goes. */
  function endOverdue({ connection, waiting, items }: WholeConnection): Change | undefined {
    if (!connection) return undefined
    const stamp: Stamp = { now: clock.now(), writeId: ids.writeId(), actor: 'sweep' }
    const overdue = items.flows.filter((flow) => isOpen(flow) && stamp.now >= flow.deadline)
    const connect: ConnectChange[] = [
      ...overdue.map((flow) => flowChange(flow, endedFlow(flow, 'failed', overdueResult(flow), stamp.now))),
      ...prune(items, stamp.now)
    ]
    const grants: GrantChange[] = waiting
      .filter(({ kind, due }) => kind === 'candidate' && stamp.now >= due)
      .map((grant) => givenUp(grant, 'confirmation_expired', stamp.now))
    if (connect.length === 0 && grants.length === 0) return undefined
    // A flow nobody finished is no news; one whose exchange nobody can tell the outcome of is.
    const events = overdue
      .filter(({ status }) => status !== 'open')
      .map((flow) =>
        auditEvent('connect_flow.failed', stamp, {
          flow: flow.id,
          result: overdueResult(flow),
          possible_orphan: flow.status === 'exchanging'
        })
      )
    return { next: advanced(connection, stamp), grants, events, connect }
  }

  async function refreshIfDue(connection: Connection): Promise<{ latest: Connection | undefined; notBefore: number }> {
    const wanted = (current: Connection) =>
      current.status === 'active' &&
      !current.quarantined &&
      (!current.access || proactiveRefreshAt(current) <= clock.now())
    if (!wanted(connection)) return { latest: connection, notBefore: 0 }
    const { connection: latest, stopped } = await refresh(connection, {
      share: 'anyone',
      satisfied: (current) => !wanted(current),
      background: true,
      actor: 'sweep'
    })
    return { latest, notBefore: stopped ? clock.now() + (stopped.retryAfterMs ?? AGAIN_MS) : 0 }
  }
}

type Known = WholeConnection & { readonly connection: Connection }

/** Statuses in which a record goes when it is due. */
function isPassing({ status }: Connection): boolean {
  return status === 'pending' || status === 'disconnected'
}

/** When the record itself is due. One that would go stays while a link may still be used or something waits. */
function ownDue({ connection, waiting, items }: Known, now: number): number | undefined {
  const due = dueAt(connection, now)
  if (due === undefined || !isPassing(connection)) return due
  const links = items.links.filter((link) => linkRefusal(link, now) === undefined)
  return Math.max(
    due,
    ...links.map(({ expiresAt }) => expiresAt),
    ...items.flows.filter(isOpen).map(({ deadline }) => deadline),
    ...waiting.map((grant) => grant.due)
  )
}

/** Whether nothing of this connection needs to be remembered any more. */
function isOver(whole: Known, now: number): boolean {
  const { connection, waiting, items } = whole
  if (!isPassing(connection) || waiting.length > 0 || items.flows.some(isOpen)) return false
  return now >= (ownDue(whole, now) ?? Number.POSITIVE_INFINITY)
}

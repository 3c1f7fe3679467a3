import { auditEvent, type Change, type Stamp } from './change.ts'
import type { ConnectFlow } from './connect-link.ts'
import type { Connection } from './connection.ts'
import { advanced, dueNow, givenUp, nextEpoch, supersede } from './grant-change.ts'
import type { AuditEvent, GrantChange, WaitingGrant } from './ports.ts'

/** An admin ends the connection: nothing is issued any more, its grants are revoked now. */
export function disconnectRequested(
  current: Connection,
  waiting: readonly WaitingGrant[],
  purge: boolean,
  stamp: Stamp
): Change {
  const { now } = stamp
  const own = supersede(current, 'now', 'disconnected', now)
  const { access: _access, sealedRefresh: _refresh, ...rest } = advanced(current, stamp)
  const { failure: _failure, quarantine: _quarantine, ...details } = current.details
  const grants = [
    ...(own ? [{ number: own.number, entry: own }] : []),
    ...waiting.map((each) => (each.kind === 'candidate' ? givenUp(each, 'disconnected', now) : dueNow(each, now)))
  ]
  const status = grants.length > 0 ? 'disconnecting' : 'disconnected'
  return {
    next: {
      ...rest,
      epoch: nextEpoch(current, now),
      status,
      quarantined: false,
      purge: purge || current.purge,
      details: { ...details, times: { ...details.times, statusSince: now } }
    },
    grants,
    events: [
      auditEvent('connection.disconnect_requested', stamp, { purge }),
      ...(status === 'disconnected' ? [auditEvent('connection.disconnected', stamp, {})] : [])
    ]
  }
}

/** Names the exchanges that a disconnect ends: should their process die now, nobody else would tell of their grants. */
export function exchangesCutShort(flows: readonly ConnectFlow[], stamp: Stamp): AuditEvent[] {
  return flows
    .filter(({ status }) => status === 'exchanging')
    .map(({ id }) =>
      auditEvent('connect_flow.failed', stamp, { flow: id, result: 'flow_ended', possible_orphan: true })
    )
}

/** Hand-outs stop or go on; the grant is kept. */
export function quarantineSet(current: Connection, on: { reason: string } | undefined, stamp: Stamp): Change {
  const { quarantine: _quarantine, ...details } = current.details
  return {
    next: {
      ...advanced(current, stamp),
      quarantined: on !== undefined,
      details: { ...details, ...(on && { quarantine: { since: stamp.now, by: stamp.actor, reason: on.reason } }) }
    },
    grants: [],
    events: [
      auditEvent(on ? 'connection.quarantined' : 'connection.quarantine_lifted', stamp, on ? { reason: on.reason } : {})
    ]
  }
}

/** A waiting grant changes or goes (`entry` undefined); the last one of a disconnecting connection ends it. */
export function waitingChanged(
  current: Connection,
  waiting: readonly WaitingGrant[],
  change: GrantChange,
  events: readonly { type: string; data: { [name: string]: string | number | boolean } }[],
  stamp: Stamp
): Change {
  const left = waiting.some(({ number }) => number !== change.number) || change.entry !== undefined
  const ends = current.status === 'disconnecting' && !left
  return {
    next: {
      ...advanced(current, stamp),
      ...(ends && {
        status: 'disconnected' as const,
        details: { ...current.details, times: { ...current.details.times, statusSince: stamp.now } }
      })
    },
    grants: [change],
    events: [
      ...events.map(({ type, data }) => auditEvent(type, stamp, data)),
      ...(ends ? [auditEvent('connection.disconnected', stamp, {})] : [])
    ]
  }
}

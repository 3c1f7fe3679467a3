import type { ConnectChange } from './connect-link.ts'
import { type Connection, decide, type Failure, type FailureCode } from './connection.ts'
import type { AuditEvent, GrantChange, Sealer, UpstreamReply } from './ports.ts'
import { type BackoffSettings, backoffMs } from './schedule.ts'

/** A new state of a connection and what is written with it. */
export interface Change {
  readonly next: Connection
  readonly grants: readonly GrantChange[]
  readonly events: readonly AuditEvent[]
  readonly closeBudgetUntil?: number
  /** Links and flows that change in the same write. */
  readonly connect?: readonly ConnectChange[]
}

type Granted = Extract<UpstreamReply, { kind: 'granted' }>
type NotGranted = Exclude<UpstreamReply, { kind: 'granted' }>

/** What every write carries: the time of the decision, the write's name and who caused it. */
export interface Stamp {
  readonly now: number
  readonly writeId: string
  readonly actor: string
}

interface Base extends Stamp {
  /** When the request left; lives are counted from here. */
  readonly sentAt: number
}

/** A refresh brought a token: new generation, failure data gone. A reply without a refresh token keeps the stored bytes. */
export function refreshed(current: Connection, reply: Granted, sealer: Sealer, base: Base): Change {
  const { ref } = current
  const { dataCenter, grantNumber } = current.details
  const generation = nextGeneration(current, base.now)
  const expiresAt = base.sentAt + reply.lifeMs
  const { failure: _failure, ...details } = current.details
  const revived = current.status !== 'active'
  const next: Connection = {
    ...current,
    revision: current.revision + 1,
    writeId: base.writeId,
    generation,
    status: 'active',
    access: {
      sealed: sealer.seal(reply.accessToken, {
        purpose: 'access',
        ref,
        dataCenter,
        grantNumber,
        generation,
        expiresAt
      }),
      expiresAt
    },
    ...(reply.refreshToken && {
      sealedRefresh: sealer.seal(reply.refreshToken, { purpose: 'refresh', ref, dataCenter, grantNumber })
    }),
    details: {
      ...details,
      times: { ...details.times, accessIssued: base.sentAt, ...(revived && { statusSince: base.now }) }
    }
  }
  return { next, grants: [], events: revived ? [auditEvent('connection.recovered', base, {})] : [] }
}

export interface FailureSettings extends BackoffSettings {
  readonly secondStrikeMs: number
  readonly budgetWindowMs: number
}

/** A refresh brought none: failure data, a time before which nobody tries again, and after a second strike the status. */
export function refreshFailed(
  current: Connection,
  reply: NotGranted,
  settings: FailureSettings,
  base: Base & { random: number }
): Change {
  const { now } = base
  const before = current.details.failure
  const count = (before?.count ?? 0) + 1
  const struck = reply.kind === 'refused' && reply.fault === 'grant'
  const firstStrikeAt = before?.firstStrikeAt ?? (struck ? now : undefined)
  const dead = struck && firstStrikeAt !== undefined && now - firstStrikeAt >= settings.secondStrikeMs
  const throttledUntil =
    reply.kind === 'refused' && reply.fault === 'throttled' ? now + settings.budgetWindowMs : undefined
  const nextTryAt =
    throttledUntil ??
    (struck && firstStrikeAt !== undefined && !dead
      ? firstStrikeAt + settings.secondStrikeMs
      : now + backoffMs(count, settings, base.random))
  const failure: Failure = {
    code: failureCode(reply),
    count,
    since: before?.since ?? now,
    at: now,
    nextTryAt,
    ...(firstStrikeAt !== undefined && { firstStrikeAt })
  }
  const dies = dead && current.status === 'active'
  return {
    next: {
      ...current,
      revision: current.revision + 1,
      writeId: base.writeId,
      status: dies ? 'reconnect_required' : current.status,
      details: {
        ...current.details,
        failure,
        times: { ...current.details.times, ...(dies && { statusSince: now }) }
      }
    },
    grants: [],
    events: dies ? [auditEvent('connection.reconnect_required', base, { reason: reply.code })] : [],
    ...(throttledUntil !== undefined && { closeBudgetUntil: throttledUntil })
  }
}

/** Whether an answer for `seen` may still be stored over `current`: same owner of what may be issued, same token. */
export function stillApplies(seen: Connection, current: Connection | undefined): current is Connection {
  return (
    current !== undefined &&
    current.epoch === seen.epoch &&
    current.generation === seen.generation &&
    !('drop' in decide('refresh_answered', current))
  )
}

/** Never names two tokens, not after a purge, a restore or a failover. */
export function nextGeneration(current: Connection | undefined, now: number): number {
  return Math.max((current?.generation ?? 0) + 1, Math.floor(now / 1000))
}

function failureCode(reply: NotGranted): FailureCode {
  if (reply.kind === 'failed') return 'upstream_unavailable'
  switch (reply.fault) {
    case 'grant':
      return 'grant_refused'
    case 'throttled':
      return 'throttled'
    case 'ours':
      // Zoho says `invalid_client` for the wrong data center too (zoho.md §2.2).
      return reply.code === 'invalid_client' ? 'wrong_data_center' : 'client_refused'
  }
}

/** A fact for the outbox. */
export function auditEvent(type: string, stamp: Stamp, data: AuditEvent['data']): AuditEvent {
  return { type, at: stamp.now, actor: stamp.actor, data }
}

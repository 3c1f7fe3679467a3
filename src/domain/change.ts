import { type Connection, decide, type Failure, type FailureCode } from './connection.ts'
import type { ConnectionRef } from './ids.ts'
import type { AuditEvent, GrantChange, Sealer, UpstreamReply } from './ports.ts'
import { type BackoffSettings, backoffMs, timeLeftMs } from './schedule.ts'
import type { Secret } from './secret.ts'

/** A new state of a connection and what is written with it. */
export interface Change {
  readonly next: Connection
  readonly grants: readonly GrantChange[]
  readonly events: readonly AuditEvent[]
  readonly closeBudgetUntil?: number
}

type Granted = Extract<UpstreamReply, { kind: 'granted' }>
type NotGranted = Exclude<UpstreamReply, { kind: 'granted' }>

interface Base {
  readonly now: number
  /** When the request left; lives are counted from here. */
  readonly sentAt: number
  readonly writeId: string
  readonly actor: string
}

/** A grant that was verified upstream and is to become the current one. */
export interface NewGrant {
  readonly ref: ConnectionRef
  readonly app: string
  readonly dataCenter: string
  readonly clientId: string
  readonly requestedScopes: readonly string[]
  readonly refreshToken: Secret
  readonly reply: Granted
}

/** The grant becomes the current one; a live grant before it goes on as superseded until it is revoked. */
export function grantStored(current: Connection | undefined, grant: NewGrant, sealer: Sealer, base: Base): Change {
  const { ref, dataCenter, reply } = grant
  const grantNumber = (current?.details.grantNumber ?? 0) + 1
  const generation = nextGeneration(current, base.now)
  const expiresAt = base.sentAt + reply.lifeMs
  const { failure: _failure, zohoUser: _user, zohoOrg: _org, ...kept } = current?.details ?? {}
  const next: Connection = {
    ref,
    revision: (current?.revision ?? 0) + 1,
    writeId: base.writeId,
    epoch: Math.max((current?.epoch ?? 0) + 1, base.now),
    generation,
    status: 'active',
    quarantined: current?.quarantined ?? false,
    purge: false,
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
    sealedRefresh: sealer.seal(grant.refreshToken, { purpose: 'refresh', ref, dataCenter, grantNumber }),
    details: {
      ...kept,
      app: grant.app,
      dataCenter,
      clientId: grant.clientId,
      grantNumber,
      // No `scope` in the answer means: as requested (`DESIGN.md` §6).
      scopes: { requested: grant.requestedScopes, granted: reply.scopes ?? grant.requestedScopes },
      times: {
        ...(current?.details.times ?? { created: base.now }),
        statusSince: current?.status === 'active' ? current.details.times.statusSince : base.now,
        connected: base.now,
        accessIssued: base.sentAt
      }
    }
  }
  const superseded = current ? supersededEntry(current, base.now) : undefined
  return {
    next,
    grants: superseded ? [superseded] : [],
    events: [
      event('connection.imported', base, { app: grant.app, data_center: dataCenter, grant: grantNumber })
    ].concat(superseded ? [event('grant.superseded', base, { grant: superseded.number })] : [])
  }
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
  return { next, grants: [], events: revived ? [event('connection.recovered', base, {})] : [] }
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
    events: dies ? [event('connection.reconnect_required', base, { reason: reply.code })] : [],
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
function nextGeneration(current: Connection | undefined, now: number): number {
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

function supersededEntry(current: Connection, now: number): GrantChange | undefined {
  if (!current.sealedRefresh || (current.status !== 'active' && current.status !== 'reconnect_required'))
    return undefined
  const { details } = current
  return {
    number: details.grantNumber,
    entry: JSON.stringify({
      kind: 'superseded',
      reason: 'replaced',
      due: now + timeLeftMs(current, now),
      tries: 0,
      app: details.app,
      clientId: details.clientId,
      dataCenter: details.dataCenter,
      ...(details.zohoUser !== undefined && { zohoUser: details.zohoUser }),
      refresh: Buffer.from(current.sealedRefresh).toString('base64')
    })
  }
}

function event(type: string, base: Base, data: AuditEvent['data']): AuditEvent {
  return { type, at: base.now, actor: base.actor, data }
}

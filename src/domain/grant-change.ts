import { auditEvent, type Change, nextGeneration, type Stamp } from './change.ts'
import type { Connection } from './connection.ts'
import type { ConnectionRef } from './ids.ts'
import type { GrantChange, Sealer, WaitingGrant } from './ports.ts'
import { timeLeftMs } from './schedule.ts'
import type { Secret } from './secret.ts'

/** A grant that Zoho has just vouched for, with a live access token of it. */
export interface VerifiedGrant {
  readonly ref: ConnectionRef
  readonly app: string
  readonly dataCenter: string
  readonly clientId: string
  readonly scopes: { readonly requested: readonly string[]; readonly granted: readonly string[] }
  readonly refreshToken: Secret
  readonly access: { readonly token: Secret; readonly issuedAt: number; readonly expiresAt: number }
}

export interface StoreOptions {
  readonly how: 'imported' | 'connected' | 'confirmed'
  /** The grants that are not current; those named by `freed` hold this very token and are dropped. */
  readonly waiting: readonly WaitingGrant[]
  readonly freed?: readonly number[]
  /** Revoke the grant that is replaced at once. */
  readonly revokeSupersededNow?: boolean
  /** Its number, when it has one already as a candidate. */
  readonly number?: number
}

/** The grant becomes the current one; a live grant before it goes on as superseded until it is revoked. */
export function grantStored(
  current: Connection | undefined,
  grant: VerifiedGrant,
  options: StoreOptions,
  sealer: Sealer,
  stamp: Stamp
): Change {
  const { ref, dataCenter, access } = grant
  const { now } = stamp
  const number = options.number ?? nextGrantNumber(current, options.waiting)
  const generation = nextGeneration(current, now)
  const { expiresAt } = access
  const { failure: _failure, zohoUser: _user, zohoOrg: _org, ...kept } = current?.details ?? {}
  const next: Connection = {
    ref,
    revision: (current?.revision ?? 0) + 1,
    writeId: stamp.writeId,
    epoch: nextEpoch(current, now),
    generation,
    status: 'active',
    quarantined: current?.quarantined ?? false,
    purge: false,
    access: {
      sealed: sealer.seal(access.token, {
        purpose: 'access',
        ref,
        dataCenter,
        grantNumber: number,
        generation,
        expiresAt
      }),
      expiresAt
    },
    sealedRefresh: sealer.seal(grant.refreshToken, { purpose: 'refresh', ref, dataCenter, grantNumber: number }),
    details: {
      ...kept,
      app: grant.app,
      dataCenter,
      clientId: grant.clientId,
      grantNumber: number,
      grantsNumbered: Math.max(number, current?.details.grantsNumbered ?? 0),
      scopes: grant.scopes,
      times: {
        ...(current?.details.times ?? { created: now }),
        statusSince: current?.status === 'active' ? current.details.times.statusSince : now,
        connected: now,
        accessIssued: access.issuedAt
      }
    }
  }
  const superseded =
    current && supersede(current, options.revokeSupersededNow ? 'now' : 'when_expired', 'replaced', now)
  // Two waiting ones would make three live grants with the next: the older one goes at once.
  const hurried = superseded ? options.waiting.filter((each) => each.kind === 'superseded' && each.due > now) : []
  const gone = [...(options.freed ?? []), ...(options.number === undefined ? [] : [options.number])]
  return {
    next,
    grants: [
      ...(superseded ? [{ number: superseded.number, entry: superseded }] : []),
      ...hurried.filter(({ number: each }) => !gone.includes(each)).map((each) => dueNow(each, now)),
      ...gone.map((each) => ({ number: each, entry: undefined }))
    ],
    events: [
      auditEvent(`connection.${options.how}`, stamp, { app: grant.app, data_center: dataCenter, grant: number }),
      ...(superseded ? [auditEvent('grant.superseded', stamp, { grant: superseded.number })] : [])
    ]
  }
}

/** The grant waits for its confirmation; an older candidate is revoked. Nothing is issued from it. */
export function candidateStored(
  current: Connection,
  grant: VerifiedGrant,
  options: {
    readonly flowId: string
    readonly due: number
    readonly waiting: readonly WaitingGrant[]
    readonly freed?: readonly number[]
  },
  sealer: Sealer,
  stamp: Stamp
): Change {
  const { ref, dataCenter, access } = grant
  const number = nextGrantNumber(current, options.waiting)
  const sealedUnder = { ref, dataCenter, grantNumber: number }
  const candidate: WaitingGrant = {
    number,
    kind: 'candidate',
    reason: 'confirmation',
    app: grant.app,
    clientId: grant.clientId,
    dataCenter,
    sealedRefresh: sealer.seal(grant.refreshToken, { purpose: 'refresh', ...sealedUnder }),
    due: options.due,
    tries: 0,
    candidate: {
      flowId: options.flowId,
      scopes: grant.scopes,
      sealedAccess: sealer.seal(access.token, {
        purpose: 'access',
        ...sealedUnder,
        generation: 0,
        expiresAt: access.expiresAt
      }),
      accessIssued: access.issuedAt,
      accessExpiresAt: access.expiresAt
    }
  }
  const older = options.waiting.filter(({ kind }) => kind === 'candidate')
  return {
    next: {
      ...advanced(current, stamp),
      details: { ...current.details, grantsNumbered: number }
    },
    grants: [
      { number, entry: candidate },
      ...older.map((each) => givenUp(each, 'newer_candidate', stamp.now)),
      ...(options.freed ?? []).map((each) => ({ number: each, entry: undefined }))
    ],
    events: [auditEvent('grant.candidate_stored', stamp, { grant: number, flow: options.flowId })]
  }
}

/** A candidate that will never be accepted: it is revoked like a superseded grant. */
export function givenUp(grant: WaitingGrant, reason: string, now: number): GrantChange {
  const { candidate: _candidate, ...kept } = grant
  return { number: grant.number, entry: { ...kept, kind: 'superseded', reason, due: now } }
}

/** The same record, one write later. */
export function advanced(current: Connection, stamp: Stamp): Connection {
  return { ...current, revision: current.revision + 1, writeId: stamp.writeId }
}

/** Rises whenever what may be issued changes owner. */
export function nextEpoch(current: Connection | undefined, now: number): number {
  return Math.max((current?.epoch ?? 0) + 1, now)
}

function nextGrantNumber(current: Connection | undefined, waiting: readonly WaitingGrant[]): number {
  const { grantNumber = 0, grantsNumbered = 0 } = current?.details ?? {}
  return Math.max(grantNumber, grantsNumbered, ...waiting.map(({ number }) => number)) + 1
}

/** The current grant as one that waits for its revoke; undefined when there is none. */
export function supersede(
  current: Connection,
  when: 'now' | 'when_expired',
  reason: string,
  now: number
): WaitingGrant | undefined {
  if (!current.sealedRefresh || (current.status !== 'active' && current.status !== 'reconnect_required'))
    return undefined
  const { app, clientId, dataCenter, grantNumber, zohoUser } = current.details
  return {
    number: grantNumber,
    kind: 'superseded',
    reason,
    app,
    clientId,
    dataCenter,
    ...(zohoUser !== undefined && { zohoUser }),
    sealedRefresh: current.sealedRefresh,
    due: when === 'now' ? now : now + timeLeftMs(current, now),
    tries: 0
  }
}

/** A waiting grant whose revoke is not to wait any longer. One whose revoke has begun keeps its time: it is under way, or Zoho asked for a pause. */
export function dueNow(grant: WaitingGrant, now: number): GrantChange {
  return { number: grant.number, entry: { ...grant, due: grant.revoking ? grant.due : Math.min(grant.due, now) } }
}

import type { App } from './app.ts'
import { auditEvent, type Change, type FailureSettings, refreshed, refreshFailed, stillApplies } from './change.ts'
import { type Connection, decide } from './connection.ts'
import { byDeadline } from './deadline.ts'
import { BrokerError, isBrokerError } from './errors.ts'
import type { GuardedWrite } from './guarded-write.ts'
import { refKey } from './ids.ts'
import type { LeaseLoop } from './lease-loop.ts'
import type { Clock, Emit, Ids, Sealer, Share, Upstream, UpstreamReply } from './ports.ts'
import { waitForNextTryMs } from './schedule.ts'
import type { Shield } from './shield.ts'
import { createSingleFlight } from './single-flight.ts'

export interface RefreshSettings extends FailureSettings {
  /** A caller is answered by then, whatever happens. */
  readonly callerDeadlineMs: number
}

/** One wish for a fresher token. The asked, the proactive, the rejected and the forced refresh differ only in this. */
export interface RefreshWish {
  readonly share: Share
  /** Whether this state satisfies the wish, so that nothing need be done. */
  readonly satisfied: (connection: Connection) => boolean
  /** An admin's: passes back-off, never the budget, and tries a connection that needs a reconnect. */
  readonly forced?: boolean
  /** Leaves the places that are kept for callers who wait. */
  readonly background?: boolean
  readonly actor: string
}

/** Where a refresh ended: the newest known record, and why it does not satisfy the wish, if it does not. */
export interface RefreshResult {
  readonly connection: Connection | undefined
  readonly stopped?: BrokerError
}

export interface RefreshDeps {
  readonly leaseLoop: LeaseLoop
  readonly write: GuardedWrite
  readonly upstream: Upstream
  readonly sealer: Sealer
  readonly apps: ReadonlyMap<string, App>
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  readonly shield: Shield
  readonly settings: RefreshSettings
}

export type Refresh = (seen: Connection, wish: RefreshWish) => Promise<RefreshResult>

/** One refresh per connection at a time: single-flight in this process, a lease across processes, a guarded write in the end. */
export function createRefresh(deps: RefreshDeps): Refresh {
  const { clock, shield, settings } = deps
  const singleFlight = createSingleFlight<RefreshResult>()

  return async (seen, wish) => {
    const deadline = clock.now() + settings.callerDeadlineMs
    let current = seen
    for (;;) {
      let ownRun = false
      // Who pays is part of the key: a spent share must not refuse those who have another one. The lease keeps them apart.
      const run = singleFlight(`${wish.share}:${refKey(current.ref)}`, () => {
        ownRun = true
        return shield.run(() => refreshOnce(deps, current, wish))
      })
      const result = await byDeadline(run, deadline - clock.now())
      if (!result) return { connection: current, stopped: busy('The refresh takes longer than you may wait', 1000) }
      if (ownRun || result.stopped || !result.connection || wish.satisfied(result.connection)) return result
      // Somebody else's run had somebody else's wish: look again with ours.
      current = result.connection
    }
  }
}

async function refreshOnce(deps: RefreshDeps, seen: Connection, wish: RefreshWish): Promise<RefreshResult> {
  const held = await deps.leaseLoop(seen.ref, {
    seen,
    share: wish.share,
    stop: (current) => stopBefore(deps, current, wish)
  })
  if (held.kind === 'stopped') return { connection: held.current, ...(held.why && { stopped: held.why }) }
  const run = held.holding(async ({ owner, charge, spent }): Promise<RefreshResult> => {
    const current = held.current as Connection
    const started = deps.clock.now()
    const reply = await callUpstream(deps, current, wish)
    // Our own limit is no failure of Zoho's: nothing is recorded, lease and charge go back.
    if (reply.kind === 'failed' && reply.code === 'busy') throw busy('Too many refreshes are under way here', 1000)
    if (reply.kind !== 'failed' || reply.sent) spent()
    deps.emit({
      type: 'refresh.ended',
      ref: current.ref,
      app: current.details.app,
      dataCenter: current.details.dataCenter,
      outcome: reply.kind === 'granted' ? 'granted' : reply.code,
      ms: deps.clock.now() - started
    })
    const saved = await deps.write.save({
      ref: current.ref,
      seen: current,
      apply: (base) => changeFor(deps, base, reply, started, wish),
      applies: stillApplies,
      what: 'refresh',
      owner,
      ...(reply.kind === 'failed' && !reply.sent && { giveBack: charge }),
      serveUnsaved: reply.kind === 'granted'
    })
    const stopped = reply.kind === 'granted' ? undefined : failureError(saved.connection, reply, deps.clock.now())
    return { connection: saved.connection, ...(stopped && { stopped }) }
  })
  return run.catch((error) => {
    if (isBrokerError(error, 'ERR_BUSY')) return { connection: held.current, stopped: error }
    throw error
  })
}

/** Why no upstream call is made for this state; undefined: it is made. */
function stopBefore(
  deps: RefreshDeps,
  current: Connection | undefined,
  wish: RefreshWish
): { why?: BrokerError } | undefined {
  if (!current) return {}
  if ('refuse' in decide(wish.forced ? 'forced_refresh' : 'issue', current)) return {}
  if (wish.satisfied(current) || !current.sealedRefresh) return {}
  const { app: appName, dataCenter, clientId, failure } = current.details
  const app = deps.apps.get(appName)
  if (!app?.dataCenters.includes(dataCenter)) {
    return {
      why: new BrokerError(
        'ERR_APP_UNKNOWN',
        `App ${appName} at ${dataCenter} is not in the configuration any more; put it back or import a new grant.`
      )
    }
  }
  if (app.clientId !== clientId) {
    return {
      why: new BrokerError(
        'ERR_CLIENT_CHANGED',
        `The client id of app ${appName} is not the one that this grant was given to; put the old one back or reconnect.`
      )
    }
  }
  const waitMs = wish.forced ? 0 : waitForNextTryMs(failure, deps.clock.now())
  if (waitMs > 0 && failure) return { why: upstreamUnavailable(failure.code, waitMs) }
  return undefined
}

async function callUpstream(
  deps: RefreshDeps,
  current: Connection,
  { background = false }: RefreshWish
): Promise<UpstreamReply> {
  const { app, dataCenter, grantNumber } = current.details
  return deps.upstream.refresh({
    app,
    dataCenter,
    refreshToken: openRefreshToken(deps, current, grantNumber),
    background
  })
}

function openRefreshToken(
  { sealer, emit }: RefreshDeps,
  { ref, details, sealedRefresh }: Connection,
  grantNumber: number
) {
  try {
    return sealer.open(sealedRefresh as Uint8Array, {
      purpose: 'refresh',
      ref,
      dataCenter: details.dataCenter,
      grantNumber
    })
  } catch (error) {
    emit({ type: 'sealed.unreadable', ref, purpose: 'refresh' })
    throw error
  }
}

function changeFor(
  deps: RefreshDeps,
  base: Connection,
  reply: UpstreamReply,
  sentAt: number,
  wish: RefreshWish
): Change {
  const stamp = { now: deps.clock.now(), sentAt, writeId: deps.ids.writeId(), actor: wish.actor }
  const change =
    reply.kind === 'granted'
      ? refreshed(base, reply, deps.sealer, stamp)
      : refreshFailed(base, reply, deps.settings, { ...stamp, random: deps.ids.random() })
  if (!wish.forced) return change
  const outcome = reply.kind === 'granted' ? 'granted' : reply.code
  return { ...change, events: [auditEvent('connection.refresh_forced', stamp, { outcome }), ...change.events] }
}

function failureError(
  connection: Connection | undefined,
  reply: Exclude<UpstreamReply, { kind: 'granted' }>,
  now: number
): BrokerError {
  const failure = connection?.details.failure
  return upstreamUnavailable(failure?.code ?? reply.code, failure ? Math.max(1, failure.nextTryAt - now) : 1000)
}

function upstreamUnavailable(code: string, retryAfterMs: number): BrokerError {
  return new BrokerError(
    'ERR_UPSTREAM_UNAVAILABLE',
    `Zoho gave no new token (${code}); the grant is kept. Repeat after the time in Retry-After.`,
    { retryAfterMs }
  )
}

function busy(why: string, retryAfterMs: number): BrokerError {
  return new BrokerError('ERR_BUSY', `${why}; repeat after the time in Retry-After.`, { retryAfterMs })
}

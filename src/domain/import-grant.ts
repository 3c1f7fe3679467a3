import type { App } from './app.ts'
import { type Change, refreshed, stillApplies } from './change.ts'
import type { Connection } from './connection.ts'
import { byDeadline } from './deadline.ts'
import { BrokerError } from './errors.ts'
import { grantStored, type VerifiedGrant } from './grant-change.ts'
import type { GuardedWrite } from './guarded-write.ts'
import type { ConnectionRef } from './ids.ts'
import type { LeaseLoop } from './lease-loop.ts'
import type { Clock, ConnectionStore, Ids, Sealer, Upstream, UpstreamReply, WaitingGrant } from './ports.ts'
import { isSameToken } from './same-token.ts'
import type { Secret } from './secret.ts'
import type { Shield } from './shield.ts'

export interface ImportInput {
  readonly ref: ConnectionRef
  readonly app: App
  readonly dataCenter: string
  readonly refreshToken: Secret
  readonly actor: string
}

export interface ImportDeps {
  readonly store: ConnectionStore
  readonly leaseLoop: LeaseLoop
  readonly write: GuardedWrite
  readonly upstream: Upstream
  readonly sealer: Sealer
  readonly clock: Clock
  readonly ids: Ids
  readonly shield: Shield
  readonly settings: {
    readonly callerDeadlineMs: number
    readonly backoffFirstMs: number
    readonly budgetWindowMs: number
  }
}

export type ImportGrant = (input: ImportInput) => Promise<{ connection: Connection; created: boolean }>

/** Stores a refresh token that somebody brings, after a real refresh with it succeeded. */
export function createImportGrant(deps: ImportDeps): ImportGrant {
  const { store, sealer, clock, ids } = deps

  return async (input) => {
    const result = await byDeadline(
      deps.shield.run(() => run(input)),
      deps.settings.callerDeadlineMs
    )
    if (result) return result
    throw new BrokerError(
      'ERR_BUSY',
      'The import takes longer than you may wait and goes on; look at the connection, then repeat if need be.',
      {
        retryAfterMs: 1000
      }
    )
  }

  async function run(input: ImportInput): Promise<{ connection: Connection; created: boolean }> {
    const { ref } = input
    const seen = await store.read(ref)
    const held = await deps.leaseLoop(ref, {
      seen,
      share: 'admin',
      stop: (current) => {
        if (current && current.details.app !== input.app.name) throw appMismatch(current)
        return current && isNoOp(current, input) ? {} : undefined
      }
    })
    if (held.kind === 'stopped') {
      if (held.why || !held.current)
        throw held.why ?? new BrokerError('ERR_INTERNAL', 'The import ended without a state.')
      return { connection: held.current, created: false }
    }
    return held.holding(async ({ owner, spent }) => {
      const wasWaiting = held.current ? sameGrants(await store.waitingGrants(ref), input) : []
      const sentAt = clock.now()
      const reply = await deps.upstream.refresh({
        app: input.app.name,
        dataCenter: input.dataCenter,
        refreshToken: input.refreshToken
      })
      if (reply.kind !== 'granted' || lacks(reply, input.app).length > 0) {
        if (!isFree(reply)) spent()
        throw refused(reply, input, deps.settings)
      }
      spent()
      const saved = await deps.write.save({
        ref,
        seen: held.current,
        apply: (base) => changeFor(base, input, reply, sentAt, wasWaiting),
        applies: (before, current): current is Connection => stillApplies(before, current),
        what: 'import',
        owner,
        durable: true,
        serveUnsaved: true
      })
      if (!saved.ours || !saved.connection) {
        throw new BrokerError('ERR_BUSY', 'Somebody else changed this connection meanwhile; look at it, then repeat.', {
          retryAfterMs: 1000
        })
      }
      return { connection: saved.connection, created: held.current === undefined }
    })
  }

  async function changeFor(
    base: Connection | undefined,
    input: ImportInput,
    reply: Extract<UpstreamReply, { kind: 'granted' }>,
    sentAt: number,
    wasWaiting: readonly number[]
  ): Promise<Change> {
    const { ref, app, dataCenter } = input
    const waiting = base ? await store.waitingGrants(ref) : []
    const freed = sameGrants(waiting, input)
    // Zoho vouched for it, and then its revoke began and ended.
    if (wasWaiting.some((number) => !freed.includes(number))) throw beingRevoked()
    const stamp = { now: clock.now(), sentAt, writeId: ids.writeId(), actor: input.actor }
    if (base && isCurrentToken(base, input)) {
      const grants = freed.map((number) => ({ number, entry: undefined }))
      return { ...refreshed(base, reply, sealer, stamp), grants }
    }
    const grant: VerifiedGrant = {
      ref,
      app: app.name,
      dataCenter,
      clientId: app.clientId,
      // No `scope` in the answer means: as requested (`DESIGN.md` §6).
      scopes: { requested: app.scopes, granted: reply.scopes ?? app.scopes },
      // Zoho does not rotate; should it ever, the token it just gave is the one that lives on.
      refreshToken: reply.refreshToken ?? input.refreshToken,
      access: { token: reply.accessToken, issuedAt: sentAt, expiresAt: sentAt + reply.lifeMs }
    }
    return grantStored(base, grant, { how: 'imported', waiting, freed }, sealer, stamp)
  }

  function isNoOp(current: Connection, input: ImportInput): boolean {
    return current.status === 'active' && isCurrentToken(current, input)
  }

  function isCurrentToken(current: Connection, input: ImportInput): boolean {
    const { details, sealedRefresh, ref } = current
    if (!sealedRefresh || details.dataCenter !== input.dataCenter || details.clientId !== input.app.clientId)
      return false
    const { dataCenter, grantNumber } = details
    return isSameToken(sealer, { ref, dataCenter, grantNumber, sealed: sealedRefresh }, input.refreshToken)
  }

  /** A grant that waits for its revoke and holds this very token must not be revoked any more. */
  function sameGrants(waiting: readonly WaitingGrant[], input: ImportInput): number[] {
    const same = waiting.filter(({ sealedRefresh: sealed, dataCenter, number }) =>
      isSameToken(sealer, { ref: input.ref, dataCenter, grantNumber: number, sealed }, input.refreshToken)
    )
    if (same.some(({ revoking }) => revoking)) throw beingRevoked()
    return same.map(({ number }) => number)
  }
}

/** Nothing was minted for a token that Zoho refused: who mistyped it may try again at once. */
function isFree(reply: UpstreamReply): boolean {
  return reply.kind === 'failed' ? !reply.sent : reply.kind === 'refused' && reply.fault !== 'throttled'
}

function lacks(reply: Extract<UpstreamReply, { kind: 'granted' }>, app: App): string[] {
  const granted = new Set(reply.scopes ?? app.scopes)
  return app.scopes.filter((scope) => !granted.has(scope))
}

function beingRevoked(): BrokerError {
  return new BrokerError('ERR_GRANT_BEING_REVOKED', 'This very grant is being revoked at Zoho; get a new one.')
}

function appMismatch(current: Connection): BrokerError {
  return new BrokerError(
    'ERR_APP_MISMATCH',
    `This connection belongs to app ${current.details.app}; use that app, or another connection id.`
  )
}

function refused(
  reply: UpstreamReply,
  { app, dataCenter }: ImportInput,
  settings: ImportDeps['settings']
): BrokerError {
  if (reply.kind === 'granted') {
    return new BrokerError(
      'ERR_SCOPES_MISSING',
      `The grant lacks scopes of app ${app.name}: ${lacks(reply, app).join(', ')}. Nothing was stored; get a grant with all of them.`
    )
  }
  if (reply.kind === 'failed' || reply.fault === 'throttled') {
    return new BrokerError(
      'ERR_UPSTREAM_UNAVAILABLE',
      `Zoho could not verify the token (${reply.code}); nothing was stored. Repeat after the time in Retry-After.`,
      {
        retryAfterMs: reply.kind === 'failed' ? settings.backoffFirstMs : settings.budgetWindowMs
      }
    )
  }
  if (reply.fault === 'grant') {
    return new BrokerError(
      'ERR_GRANT_REFUSED',
      `Zoho does not accept this refresh token (${reply.code}); nothing was stored. Check that it is whole, not revoked, and of app ${app.name}.`
    )
  }
  if (reply.code === 'invalid_client') {
    return new BrokerError(
      'ERR_WRONG_DATA_CENTER',
      `Zoho at ${dataCenter} does not know this client or grant (invalid_client); nothing was stored. Most often the grant belongs to another data center.`
    )
  }
  return new BrokerError(
    'ERR_GRANT_REFUSED',
    `Zoho refused the client of app ${app.name} (${reply.code}); nothing was stored. Check its client id and secret.`
  )
}

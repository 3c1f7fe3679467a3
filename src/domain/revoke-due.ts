import type { Stamp } from './change.ts'
import type { ConnectUpstream, RevokeReply } from './connect-ports.ts'
import { waitingChanged } from './end-change.ts'
import { isBrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Clock, ConnectionStore, Emit, Ids, Sealer, WaitingGrant } from './ports.ts'
import type { RecordUpdate } from './record-update.ts'
import { type BackoffSettings, backoffMs } from './schedule.ts'

export interface RevokeDueDeps {
  readonly store: ConnectionStore
  readonly update: RecordUpdate
  readonly upstream: ConnectUpstream
  readonly sealer: Sealer
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  readonly settings: BackoffSettings & {
    /** A revoke that has begun is taken up again after this time, should its process die. */
    readonly revokeVisibilityMs: number
    /** After this time of failures the tokens are deleted all the same. */
    readonly revokeGiveUpMs: number
    /** How long nothing is tried after a throttle. */
    readonly budgetWindowMs: number
  }
}

const ACTOR = 'revoke-worker'

/** What cannot be opened is never deleted: the key may come back. */
const UNREADABLE = 'ERR_SEALED_UNREADABLE'

/** Ends at Zoho what is due among a connection's waiting grants. The sealed tokens go only when that is settled. */
export function createRevokeDue(deps: RevokeDueDeps): (ref: ConnectionRef) => Promise<void> {
  const { store, update, clock, ids, emit } = deps
  const stamp = (): Stamp => ({ now: clock.now(), writeId: ids.writeId(), actor: ACTOR })

  return async (ref) => {
    for (const grant of await store.waitingGrants(ref)) {
      if (!isDue(grant, clock.now()) || !(await begin(ref, grant))) continue
      const outcome = await revoke(ref, grant)
      emit({ type: 'revoke.ended', ref, outcome: outcome.kind })
      await end(ref, grant, outcome)
    }
  }

  /** Marks it, so that nobody makes this very token current again, and nobody else revokes it at the same time. */
  async function begin(ref: ConnectionRef, { number }: WaitingGrant): Promise<boolean> {
    const { changed } = await update(ref, ({ connection, waiting }) => {
      const now = waiting.find((each) => each.number === number)
      if (!connection || !now || !isDue(now, clock.now())) return undefined
      const entry = { ...now, revoking: true, due: clock.now() + deps.settings.revokeVisibilityMs }
      return waitingChanged(connection, waiting, { number, entry }, [], stamp())
    })
    return changed
  }

  /** A sealing key or an app that is not configured any more may come back: a failure like others, and no reason to skip the next grant. */
  async function revoke(ref: ConnectionRef, grant: WaitingGrant): Promise<RevokeReply> {
    const { app, dataCenter, number, sealedRefresh } = grant
    try {
      const refreshToken = deps.sealer.open(sealedRefresh, { purpose: 'refresh', ref, dataCenter, grantNumber: number })
      return await deps.upstream.revoke({ app, dataCenter, refreshToken })
    } catch (error) {
      if (!isBrokerError(error)) throw error
      if (error.code === UNREADABLE) emit({ type: 'sealed.unreadable', ref, purpose: 'refresh' })
      return { kind: 'failed', code: error.code, sent: false }
    }
  }

  async function end(ref: ConnectionRef, grant: WaitingGrant, outcome: RevokeReply): Promise<void> {
    const { number } = grant
    const isOver = outcome.kind === 'revoked' || outcome.kind === 'gone'
    await update(ref, ({ connection, waiting }) => {
      const now = waiting.find((each) => each.number === number)
      if (!connection || !now) return undefined
      const at = stamp()
      if (isOver) {
        const data = { grant: number, reason: now.reason, outcome: outcome.kind }
        return waitingChanged(connection, waiting, { number, entry: undefined }, [{ type: 'grant.revoked', data }], at)
      }
      const since = now.since ?? at.now
      if (at.now - since >= deps.settings.revokeGiveUpMs && outcome.code !== UNREADABLE) {
        const data = { grant: number, reason: now.reason, tries: now.tries + 1, code: outcome.code }
        return waitingChanged(
          connection,
          waiting,
          { number, entry: undefined },
          [{ type: 'grant.revoke_given_up', data }],
          at
        )
      }
      const throttled = outcome.kind === 'refused' && outcome.fault === 'throttled'
      const waitMs = throttled ? deps.settings.budgetWindowMs : backoffMs(now.tries + 1, deps.settings, ids.random())
      const entry = { ...now, tries: now.tries + 1, since, due: at.now + waitMs }
      return waitingChanged(connection, waiting, { number, entry }, [], at)
    })
  }
}

function isDue({ kind, due }: WaitingGrant, now: number): boolean {
  return kind === 'superseded' && due <= now
}

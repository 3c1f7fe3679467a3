import type { Change, Stamp } from './change.ts'
import { auditEvent, refreshed } from './change.ts'
import type { ConnectFlow, ConnectLink, ConnectResult } from './connect-link.ts'
import type { ConnectStore } from './connect-ports.ts'
import { endedFlow, flowChange, linkChange } from './connect-rules.ts'
import type { Connection } from './connection.ts'
import { isBrokerError } from './errors.ts'
import type { FlowUnderway } from './flow-underway.ts'
import { candidateStored, grantStored, type VerifiedGrant } from './grant-change.ts'
import type { Orphans } from './orphans.ts'
import type { AuditEvent, Clock, Emit, Ids, Sealer, UpstreamReply, WaitingGrant } from './ports.ts'
import type { RecordUpdate, WholeConnection } from './record-update.ts'
import { isSameToken } from './same-token.ts'

/** Ends a flow with what Zoho answered: stores the grant, or revokes what must not be kept. Gives how the flow came out. */
export type StoreGrant = (
  underway: FlowUnderway,
  dataCenter: string,
  reply: UpstreamReply,
  sentAt: number
) => Promise<ConnectResult>

export interface StoreGrantDeps {
  readonly update: RecordUpdate
  readonly connectStore: ConnectStore
  readonly orphans: Orphans
  readonly sealer: Sealer
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  /** Asks for the revoke of what became due by the write. */
  readonly kickRevoke: (ref: FlowUnderway['ref']) => void
  readonly settings: {
    readonly storeRetryMs: number
    readonly storeRetryPauseMs: number
    readonly confirmLifeMs: number
  }
}

/** The grant is in the store. */
const STORED: readonly ConnectResult[] = ['connected', 'awaiting_confirmation', 'not_durable']

/** The write of a new grant: links spent, flow ended and tokens sealed in one. */
export function createStoreGrant(deps: StoreGrantDeps): StoreGrant {
  const { orphans, sealer, clock, ids } = deps

  return async (underway, dataCenter, reply, sentAt) => {
    const { ref, app } = underway
    if (reply.kind !== 'granted') return failed(underway, refusal(reply))
    const what = { ref, app: app.name, dataCenter }
    const unsent = { known: underway.current }
    if (!reply.refreshToken) {
      await orphans.revoke({ ...what, token: reply.accessToken, why: 'no_refresh_token', unsent })
      return failed(underway, 'no_refresh_token')
    }
    const granted = reply.scopes ?? app.scopes
    if (app.scopes.some((scope) => !granted.includes(scope))) {
      await orphans.revoke({ ...what, token: reply.refreshToken, why: 'scopes_missing', unsent })
      return failed(underway, 'scopes_missing')
    }
    const grant: VerifiedGrant = {
      ref,
      app: app.name,
      dataCenter,
      clientId: app.clientId,
      scopes: { requested: app.scopes, granted },
      refreshToken: reply.refreshToken,
      access: { token: reply.accessToken, issuedAt: sentAt, expiresAt: sentAt + reply.lifeMs }
    }
    const { result, sent } = await insist(underway, grant, reply, sentAt)
    if (result === 'grant_being_revoked') return failed(underway, result)
    if (STORED.includes(result)) {
      deps.kickRevoke(ref)
      return result
    }
    const orphan = { ...what, token: reply.refreshToken, why: result }
    if (!sent) await orphans.revoke({ ...orphan, unsent })
    // A write without an answer may still be on its way; over a flow that has ended it cannot land.
    else await orphans.revoke({ ...orphan, mayLand: result === 'store_unavailable' && !(await end(underway, result)) })
    return failed(underway, result)
  }

  /** Repeats the write while the store stumbles: this grant cannot be had again without its person. */
  async function insist(
    underway: FlowUnderway,
    grant: VerifiedGrant,
    reply: Extract<UpstreamReply, { kind: 'granted' }>,
    sentAt: number
  ): Promise<{ result: ConnectResult; sent: boolean }> {
    const { ref } = underway
    let sent = false
    const until = clock.now() + deps.settings.storeRetryMs
    for (let tries = 1; ; tries++) {
      let result: ConnectResult = 'store_unavailable'
      try {
        await deps.update(
          ref,
          (whole) => {
            const decided = decideStore(whole, underway, grant, reply, sentAt)
            result = decided.result
            sent ||= decided.change !== undefined
            return decided.change
          },
          { durable: true }
        )
        return { result, sent }
      } catch (error) {
        if (isBrokerError(error, 'ERR_NOT_DURABLE')) return { result: 'not_durable', sent }
        if (!isBrokerError(error, 'ERR_STORE_UNAVAILABLE') || clock.now() >= until) {
          deps.emit({ type: 'store.gave_up', ref })
          return { result: 'store_unavailable', sent }
        }
        deps.emit({ type: 'store.retried', ref, attempt: tries })
        await new Promise((resolve) => setTimeout(resolve, deps.settings.storeRetryPauseMs))
      }
    }
  }

  function decideStore(
    { connection, waiting, items }: WholeConnection,
    underway: FlowUnderway,
    grant: VerifiedGrant,
    reply: Extract<UpstreamReply, { kind: 'granted' }>,
    sentAt: number
  ): { result: ConnectResult; change?: Change } {
    const flow = items.flows.find(({ id }) => id === underway.flow.id)
    const link = items.links.find(({ id }) => id === underway.link.id)
    if (!connection || !flow || !link) return { result: 'connection_changed' }
    // A try whose reply was lost was written after all.
    if (flow.status === 'done') return { result: 'connected' }
    if (flow.status === 'awaiting_confirmation') return { result: 'awaiting_confirmation' }
    if (link.spentBy !== undefined) return { result: 'link_spent' }
    if (flow.status !== 'exchanging') return { result: flow.result ?? 'flow_ended' }
    if (connection.epoch !== flow.epoch) return { result: 'connection_changed' }
    const same = waiting.filter(({ dataCenter, number, sealedRefresh: sealed }) =>
      isSameToken(sealer, { ref: grant.ref, dataCenter, grantNumber: number, sealed }, grant.refreshToken)
    )
    if (same.some(({ revoking }) => revoking)) return { result: 'grant_being_revoked' }
    const freed = same.map(({ number }) => number)
    const stamp: Stamp = { now: clock.now(), writeId: ids.writeId(), actor: `link:${link.id}` }
    if (isCurrentToken(connection, grant)) {
      const change = refreshed(connection, reply, sealer, { ...stamp, sentAt })
      const grants = freed.map((number) => ({ number, entry: undefined }))
      const events = [...change.events, unchanged(connection, stamp)]
      return { result: 'connected', change: { ...change, grants, events, connect: ends(flow, link, stamp.now) } }
    }
    return link.confirm
      ? asCandidate(connection, waiting, items.flows, { flow, link, grant, freed }, stamp)
      : {
          result: 'connected',
          change: {
            ...grantStored(
              connection,
              grant,
              { how: 'connected', waiting, freed, revokeSupersededNow: link.revokeSupersededNow },
              sealer,
              stamp
            ),
            connect: ends(flow, link, stamp.now)
          }
        }
  }

  function asCandidate(
    connection: Connection,
    waiting: readonly WaitingGrant[],
    flows: readonly ConnectFlow[],
    {
      flow,
      link,
      grant,
      freed
    }: { flow: ConnectFlow; link: ConnectLink; grant: VerifiedGrant; freed: readonly number[] },
    stamp: Stamp
  ): { result: ConnectResult; change: Change } {
    const due = stamp.now + deps.settings.confirmLifeMs
    const change = candidateStored(connection, grant, { flowId: flow.id, due, waiting, freed }, sealer, stamp)
    const number = change.grants.find(({ entry }) => entry?.candidate?.flowId === flow.id)?.number ?? 0
    const older = flows.filter((each) => each.status === 'awaiting_confirmation')
    return {
      result: 'awaiting_confirmation',
      change: {
        ...change,
        connect: [
          flowChange(flow, {
            ...flow,
            status: 'awaiting_confirmation',
            result: 'awaiting_confirmation',
            grantNumber: number,
            deadline: due
          }),
          linkChange(link, { ...link, spentBy: flow.id }),
          ...older.map((each) => flowChange(each, endedFlow(each, 'failed', 'flow_ended', stamp.now)))
        ]
      }
    }
  }

  function ends(flow: ConnectFlow, link: ConnectLink, now: number) {
    return [
      flowChange(flow, endedFlow(flow, 'done', 'connected', now)),
      linkChange(link, { ...link, spentBy: flow.id })
    ]
  }

  function isCurrentToken({ ref, details, sealedRefresh: sealed }: Connection, grant: VerifiedGrant): boolean {
    const { dataCenter, grantNumber } = details
    if (!sealed || dataCenter !== grant.dataCenter) return false
    return isSameToken(sealer, { ref, dataCenter, grantNumber, sealed }, grant.refreshToken)
  }

  async function failed(underway: FlowUnderway, result: ConnectResult): Promise<ConnectResult> {
    await end(underway, result)
    return result
  }

  /** Ends the flow unless somebody else did; whether it is known to have ended. If not, its deadline ends it. */
  async function end({ ref, flow }: FlowUnderway, result: ConnectResult): Promise<boolean> {
    const { now, actor } = { now: clock.now(), actor: `link:${flow.linkId}` }
    const orphan = result === 'exchange_outcome_unknown' && { possible_orphan: true }
    try {
      await deps.connectStore.change(ref, {
        changes: [flowChange(flow, endedFlow(flow, 'failed', result, now))],
        events: [auditEvent('connect_flow.failed', { now, actor, writeId: '' }, { flow: flow.id, result, ...orphan })]
      })
      return true
    } catch (error) {
      if (!isBrokerError(error)) throw error
      return false
    }
  }
}

/** Zoho gave the grant that is the current one already. */
function unchanged({ details }: Connection, stamp: Stamp): AuditEvent {
  const { app, dataCenter, grantNumber } = details
  const data = { app, data_center: dataCenter, grant: grantNumber, same_grant: true }
  return auditEvent('connection.connected', stamp, data)
}

function refusal(reply: Exclude<UpstreamReply, { kind: 'granted' }>): ConnectResult {
  // Whether Zoho spent the code before the answer was lost, nobody can know.
  if (reply.kind === 'failed') return reply.sent ? 'exchange_outcome_unknown' : 'upstream_unavailable'
  if (reply.fault === 'throttled') return 'upstream_unavailable'
  if (reply.fault === 'grant') return 'code_refused'
  return reply.code === 'invalid_client' ? 'wrong_data_center' : 'client_refused'
}

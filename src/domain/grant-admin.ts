import type { App } from './app.ts'
import { auditEvent, type Stamp } from './change.ts'
import type { GrantAdmin } from './connect-broker.ts'
import type { ConnectFlow, ConnectLink } from './connect-link.ts'
import type { ConnectStore, Tokens } from './connect-ports.ts'
import { endAll, endedFlow, flowChange } from './connect-rules.ts'
import { type Connection, decide } from './connection.ts'
import { disconnectRequested, exchangesCutShort, quarantineSet } from './end-change.ts'
import { BrokerError } from './errors.ts'
import { givenUp, grantStored, type VerifiedGrant } from './grant-change.ts'
import type { ConnectionRef } from './ids.ts'
import { disconnected, notFound } from './issue.ts'
import { linkNotFound } from './link-admin.ts'
import type { Action, Consumer } from './policy.ts'
import { requireAllowed } from './policy-gate.ts'
import type { Clock, ConnectionStore, Ids, Sealer, Upstream, WaitingGrant } from './ports.ts'
import type { RecordUpdate } from './record-update.ts'

export interface GrantAdminDeps {
  readonly store: ConnectionStore
  readonly connectStore: ConnectStore
  readonly update: RecordUpdate
  readonly upstream: Upstream
  readonly sealer: Sealer
  readonly apps: ReadonlyMap<string, App>
  readonly clock: Clock
  readonly ids: Ids
  readonly tokens: Tokens
  /** Asks for the revoke of what became due. */
  readonly kickRevoke: (ref: ConnectionRef) => void
}

type Access = VerifiedGrant['access']
type FlowOfConnection = { readonly flow: ConnectFlow; readonly link: ConnectLink | undefined }

/** What admins do with a grant that is there: confirm, quarantine, disconnect. */
export function createGrantAdmin(
  deps: GrantAdminDeps
): Pick<GrantAdmin, 'flow' | 'confirm' | 'quarantine' | 'liftQuarantine' | 'disconnect'> {
  const { store, connectStore, update, sealer, clock, ids, tokens, kickRevoke } = deps
  const stampOf = (consumer: Consumer): Stamp => ({ now: clock.now(), writeId: ids.writeId(), actor: consumer.name })

  return {
    async flow({ consumer, ref, flowId }) {
      await readAllowed(consumer, 'read', ref)
      return (await findFlow(ref, flowId)).flow
    },

    async confirm({ consumer, ref, flowId, userRef }) {
      const connection = await readAllowed(consumer, 'connect', ref)
      const { flow, link } = await findFlow(ref, flowId)
      const isRightUser = link?.userRefHash !== undefined && link.userRefHash === tokens.hash(userRef)
      if (flow.status === 'done' && isRightUser) return connection
      if (flow.status !== 'awaiting_confirmation' || clock.now() >= flow.deadline) throw notWaiting(flow, clock.now())
      if (!isRightUser) {
        await refuseCandidate(consumer, ref, flowId)
        kickRevoke(ref)
        throw new BrokerError(
          'ERR_WRONG_USER',
          'This grant was asked for by another user; it is being revoked. Make a new link.'
        )
      }
      const access = await accessOfCandidate(ref, flowId)
      const { connection: confirmed } = await update(
        ref,
        (whole) => {
          const current = whole.items.flows.find(({ id }) => id === flowId)
          const candidate = candidateOf(whole.waiting, flowId)
          if (!whole.connection || current?.status === 'done') return undefined
          if (current?.status !== 'awaiting_confirmation' || !candidate) throw notWaiting(current ?? flow, clock.now())
          const stamp = stampOf(consumer)
          const options = {
            how: 'confirmed',
            waiting: whole.waiting,
            number: candidate.number,
            revokeSupersededNow: link?.revokeSupersededNow ?? false
          } as const
          return {
            ...grantStored(whole.connection, verified(ref, candidate, access), options, sealer, stamp),
            connect: [flowChange(current, endedFlow(current, 'done', 'connected', stamp.now))]
          }
        },
        { durable: true }
      )
      kickRevoke(ref)
      return confirmed ?? connection
    },

    quarantine: ({ consumer, ref, reason = '' }) => setQuarantine(consumer, ref, { reason }),
    liftQuarantine: ({ consumer, ref }) => setQuarantine(consumer, ref, undefined),

    async disconnect({ consumer, ref, purge }) {
      const known = await readAllowed(consumer, 'disconnect', ref)
      const { connection } = await update(
        ref,
        ({ connection: current, waiting, items }) => {
          if (!current) throw notFound()
          const ended = current.status === 'disconnecting' || current.status === 'disconnected'
          if (ended && (!purge || current.purge)) return undefined
          const stamp = stampOf(consumer)
          const change = disconnectRequested(current, waiting, purge, stamp)
          const events = [...change.events, ...exchangesCutShort(items.flows, stamp)]
          return { ...change, events, connect: endAll(items, stamp.now) }
        },
        { durable: true }
      )
      kickRevoke(ref)
      return connection ?? known
    }
  }

  async function setQuarantine(
    consumer: Consumer,
    ref: ConnectionRef,
    on: { reason: string } | undefined
  ): Promise<Connection> {
    const known = await readAllowed(consumer, 'disconnect', ref)
    const { connection } = await update(ref, ({ connection: current }) => {
      const outcome = decide('quarantine', current)
      if (!current) throw notFound()
      if ('refuse' in outcome) {
        throw outcome.refuse === 'ERR_DISCONNECTED'
          ? disconnected()
          : new BrokerError(outcome.refuse, 'Nobody has connected this yet; there is nothing to stop.')
      }
      return current.quarantined === (on !== undefined) ? undefined : quarantineSet(current, on, stampOf(consumer))
    })
    return connection ?? known
  }

  async function readAllowed(consumer: Consumer, action: Action, ref: ConnectionRef): Promise<Connection> {
    const connection = await store.read(ref)
    if (!connection) throw notFound()
    requireAllowed(consumer, action, ref)
    return connection
  }

  async function findFlow(ref: ConnectionRef, flowId: string): Promise<FlowOfConnection> {
    const { flows, links } = await connectStore.items(ref)
    const flow = flows.find(({ id }) => id === flowId)
    if (!flow) throw linkNotFound()
    return { flow, link: links.find(({ id }) => id === flow.linkId) }
  }

  async function refuseCandidate(consumer: Consumer, ref: ConnectionRef, flowId: string): Promise<void> {
    await update(ref, ({ connection, waiting, items }) => {
      const flow = items.flows.find(({ id }) => id === flowId)
      if (!connection || flow?.status !== 'awaiting_confirmation') return undefined
      const stamp = stampOf(consumer)
      const candidate = candidateOf(waiting, flowId)
      return {
        next: { ...connection, revision: connection.revision + 1, writeId: stamp.writeId },
        grants: candidate ? [givenUp(candidate, 'wrong_user', stamp.now)] : [],
        events: [auditEvent('grant.confirmation_refused', stamp, { flow: flowId })],
        connect: [flowChange(flow, endedFlow(flow, 'failed', 'wrong_user', stamp.now))]
      }
    })
  }

  /** A live access token of the candidate, so that the old one is not given up for one that does not work. */
  async function accessOfCandidate(ref: ConnectionRef, flowId: string): Promise<Access> {
    const candidate = candidateOf(await store.waitingGrants(ref), flowId)
    const kept = candidate?.candidate
    if (!candidate || !kept) throw linkNotFound()
    const under = { ref, dataCenter: candidate.dataCenter, grantNumber: candidate.number }
    if (kept.accessExpiresAt > clock.now()) {
      const token = sealer.open(kept.sealedAccess, {
        purpose: 'access',
        ...under,
        generation: 0,
        expiresAt: kept.accessExpiresAt
      })
      return { token, issuedAt: kept.accessIssued, expiresAt: kept.accessExpiresAt }
    }
    const issuedAt = clock.now()
    const refreshToken = sealer.open(candidate.sealedRefresh, { purpose: 'refresh', ...under })
    const reply = await deps.upstream.refresh({ app: candidate.app, dataCenter: candidate.dataCenter, refreshToken })
    if (reply.kind === 'granted') return { token: reply.accessToken, issuedAt, expiresAt: issuedAt + reply.lifeMs }
    throw new BrokerError(
      'ERR_UPSTREAM_UNAVAILABLE',
      `Zoho gave no token for this grant (${reply.code}); it waits on. Repeat after the time in Retry-After.`,
      { retryAfterMs: 5000 }
    )
  }

  function verified(ref: ConnectionRef, candidate: WaitingGrant, access: Access): VerifiedGrant {
    const { app, clientId, dataCenter, number, sealedRefresh } = candidate
    const refreshToken = sealer.open(sealedRefresh, { purpose: 'refresh', ref, dataCenter, grantNumber: number })
    return {
      ref,
      app,
      clientId,
      dataCenter,
      scopes: candidate.candidate?.scopes ?? { requested: [], granted: [] },
      refreshToken,
      access
    }
  }
}

function candidateOf(waiting: readonly WaitingGrant[], flowId: string): WaitingGrant | undefined {
  return waiting.find(({ candidate }) => candidate?.flowId === flowId)
}

function notWaiting(flow: ConnectFlow, now: number): BrokerError {
  const late =
    flow.result === 'confirmation_expired' || (flow.status === 'awaiting_confirmation' && now >= flow.deadline)
  if (late || flow.status === 'failed') {
    return new BrokerError('ERR_FLOW_EXPIRED', 'This flow has ended without a connection; make a new link.')
  }
  if (flow.status === 'done') return new BrokerError('ERR_WRONG_USER', 'This flow was confirmed for another user.')
  return new BrokerError('ERR_NOT_CONNECTED', 'The person has not finished at Zoho yet; there is nothing to confirm.')
}

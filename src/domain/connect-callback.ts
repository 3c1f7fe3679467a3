import type { App } from './app.ts'
import type { CallbackOutcome, CallbackRefusal, ConnectPages } from './connect-broker.ts'
import type { ConnectFlow, ConnectResult, ConnectState } from './connect-link.ts'
import type { AuditSink, ConnectStore, ConnectUpstream, Tokens } from './connect-ports.ts'
import { endedFlow, flowChange, selectDataCenter } from './connect-rules.ts'
import type { DataCenter } from './data-center.ts'
import { byDeadline } from './deadline.ts'
import { isBrokerError } from './errors.ts'
import type { FlowUnderway } from './flow-underway.ts'
import type { ConnectionRef } from './ids.ts'
import type { AuditEvent, Clock, ConnectionStore, Sealer } from './ports.ts'
import type { Shield } from './shield.ts'
import type { StoreGrant } from './store-grant.ts'

export interface ConnectCallbackDeps {
  readonly store: ConnectionStore
  readonly connectStore: ConnectStore
  readonly upstream: ConnectUpstream
  readonly storeGrant: StoreGrant
  readonly audit: AuditSink
  readonly sealer: Sealer
  readonly shield: Shield
  readonly apps: ReadonlyMap<string, App>
  readonly dataCenters: ReadonlyMap<string, DataCenter>
  readonly returnUrls: ReadonlyMap<string, string>
  readonly clock: Clock
  readonly tokens: Tokens
  readonly settings: { readonly exchangeDeadlineMs: number; readonly callerDeadlineMs: number }
}

type CallbackInput = Parameters<ConnectPages['callback']>[0]

/** Zoho's redirect: state and cookie, then `error`, then the data center; only then is the code spent. */
export function createConnectCallback(deps: ConnectCallbackDeps): ConnectPages['callback'] {
  const { store, connectStore, upstream, audit, clock, tokens } = deps

  return async (input) => {
    const state = await connectStore.takeState(tokens.hash(input.state))
    if (!state) return refused('state_unknown')
    const ref = { tenant: state.tenant, connection: state.connection }
    if (input.cookieHash !== state.cookieHash) return refused('browser_mismatch', ref, state)
    const found = await findFlow(ref, state)
    if ('kind' in found) return found
    const { app, flow, link } = found
    const ended = (result: ConnectResult) => fail(found, flow, result)
    if (input.error !== undefined)
      return ended(input.error === 'access_denied' ? 'access_denied' : 'authorization_failed')
    if (input.code === undefined) return ended('authorization_failed')
    const dataCenter = selectDataCenter(
      { location: input.location, accountsServer: input.accountsServer },
      deps.dataCenters,
      app.dataCenters
    )
    if (!dataCenter) {
      await ended('wrong_data_center')
      return refused('data_center_mismatch', ref, state)
    }
    if (link.spentBy !== undefined) return ended('link_spent')
    const current = await store.read(ref)
    if (current?.epoch !== flow.epoch) return ended('connection_changed')
    return redeem({ ...found, current }, dataCenter, input)
  }

  async function findFlow(ref: ConnectionRef, state: ConnectState): Promise<FlowUnderway | CallbackOutcome> {
    const { flows, links } = await connectStore.items(ref)
    const flow = flows.find(({ id }) => id === state.flowId)
    const link = links.find(({ id }) => id === state.linkId)
    const app = deps.apps.get(state.app)
    if (!flow || !link || !app) return refused('state_unknown', ref, state)
    const underway = { ref, app, link, flow, state }
    return flow.status === 'open' ? underway : ended(underway, flow.result ?? 'flow_ended')
  }

  async function redeem(
    underway: FlowUnderway,
    dataCenter: DataCenter,
    { code, state }: CallbackInput
  ): Promise<CallbackOutcome> {
    const { ref, flow } = underway
    const verifier = deps.sealer.open(Buffer.from(underway.state.verifier, 'base64'), { purpose: 'state', ref })
    const exchanging: ConnectFlow = {
      ...flow,
      status: 'exchanging',
      dataCenter: dataCenter.key,
      deadline: clock.now() + deps.settings.exchangeDeadlineMs
    }
    // A real write before the code is spent: a store that cannot take this would lose the grant.
    if (!(await connectStore.change(ref, { changes: [flowChange(flow, exchanging)] })))
      return ended(underway, 'flow_ended')
    // The person may close the tab and the process may be told to stop: the grant is stored all the same.
    const run = deps.shield.run(async () => {
      const sentAt = clock.now()
      const reply = await upstream.exchange({
        app: underway.app.name,
        dataCenter: dataCenter.key,
        code: code as NonNullable<typeof code>,
        verifier,
        state
      })
      return deps.storeGrant({ ...underway, flow: exchanging }, dataCenter.key, reply, sentAt)
    })
    const result = await byDeadline(run, deps.settings.callerDeadlineMs)
    return ended(underway, result ?? 'exchange_outcome_unknown')
  }

  async function fail(underway: FlowUnderway, flow: ConnectFlow, result: ConnectResult): Promise<CallbackOutcome> {
    const now = clock.now()
    const event: AuditEvent = {
      type: 'connect_flow.failed',
      at: now,
      actor: `link:${flow.linkId}`,
      data: { flow: flow.id, result }
    }
    try {
      await connectStore.change(underway.ref, {
        changes: [flowChange(flow, endedFlow(flow, 'failed', result, now))],
        events: [event]
      })
    } catch (error) {
      // The person gets the answer all the same; the flow ends at its deadline.
      if (!isBrokerError(error, 'ERR_STORE_UNAVAILABLE')) throw error
    }
    return ended(underway, result)
  }

  function ended({ flow, link }: FlowUnderway, result: ConnectResult): CallbackOutcome {
    const returnUrl = link.returnTo === undefined ? undefined : deps.returnUrls.get(link.returnTo)
    return { kind: 'ended', flowId: flow.id, result, ...(returnUrl !== undefined && { returnUrl }) }
  }

  function refused(why: CallbackRefusal, ref?: ConnectionRef, state?: ConnectState): CallbackOutcome {
    audit.append(
      {
        type: 'connect_flow.refused',
        at: clock.now(),
        actor: 'browser',
        data: { why, ...(state && { flow: state.flowId }) }
      },
      ref
    )
    return { kind: 'refused', why }
  }
}

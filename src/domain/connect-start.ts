import type { App } from './app.ts'
import type { ConnectPages, LinkRefusal } from './connect-broker.ts'
import type { ConnectFlow, ConnectLink } from './connect-link.ts'
import type { ConnectStore, ConnectUpstream, Tokens } from './connect-ports.ts'
import { linkChange, linkRefusal } from './connect-rules.ts'
import type { Connection } from './connection.ts'
import type { DataCenter } from './data-center.ts'
import type { ConnectionRef } from './ids.ts'
import type { AuditEvent, Clock, ConnectionStore, Sealer } from './ports.ts'

export interface ConnectStartDeps {
  readonly store: ConnectionStore
  readonly connectStore: ConnectStore
  readonly upstream: ConnectUpstream
  readonly sealer: Sealer
  readonly apps: ReadonlyMap<string, App>
  readonly dataCenters: ReadonlyMap<string, DataCenter>
  readonly returnUrls: ReadonlyMap<string, string>
  readonly clock: Clock
  readonly tokens: Tokens
  readonly settings: { readonly stateLifeMs: number; readonly pointerKeptMs: number }
}

interface OpenLink {
  readonly ref: ConnectionRef
  readonly link: ConnectLink
  readonly app: App
  readonly connection: Connection
}

/** After so many lost races a person may press the button again. */
const TRIES = 5

/** What a person sees and does before Zoho: look at a link, press its button. */
export function createConnectStart(
  deps: ConnectStartDeps
): Pick<ConnectPages, 'look' | 'start' | 'formTargets' | 'result'> {
  const { store, connectStore, upstream, sealer, clock, tokens, settings } = deps

  return {
    async look(linkToken) {
      const found = await openLink(linkToken)
      if ('refused' in found) return found
      const { ref, link, app, connection } = found
      return {
        page: {
          tenantLabel: link.tenantLabel ?? ref.tenant,
          app: app.name,
          scopes: app.scopes,
          reconnect: connection.status === 'active' || connection.status === 'reconnect_required'
        }
      }
    },

    async start({ linkToken, cookieHash }) {
      for (let tries = 0; tries < TRIES; tries++) {
        const found = await openLink(linkToken)
        if ('refused' in found) return found
        const flow = newFlow(found)
        // The pointer first: a flow that cannot be found again would leave its person without an answer.
        await connectStore.pointToFlow(
          flow.id,
          { ref: found.ref, id: flow.id },
          settings.stateLifeMs + settings.pointerKeptMs
        )
        const { link } = found
        const started = await connectStore.change(found.ref, {
          changes: [
            linkChange(link, { ...link, starts: link.starts + 1 }),
            { kind: 'flow', id: flow.id, seen: undefined, next: flow }
          ],
          events: [startedEvent(flow)]
        })
        if (started) return { url: await sendToZoho(found, flow, cookieHash) }
      }
      return { refused: 'too_many_starts' }
    },

    async formTargets(linkToken) {
      const found = await openLink(linkToken)
      if ('refused' in found) return []
      const origins = found.app.dataCenters.flatMap((key) => deps.dataCenters.get(key)?.accounts ?? [])
      const returnUrl = found.link.returnTo === undefined ? undefined : deps.returnUrls.get(found.link.returnTo)
      return [...new Set([...origins, ...(returnUrl === undefined ? [] : [new URL(returnUrl).origin])])]
    },

    async result(flowId) {
      const pointer = await connectStore.findFlow(flowId)
      if (!pointer) return undefined
      const { flows, links } = await connectStore.items(pointer.ref)
      const flow = flows.find(({ id }) => id === pointer.id)
      if (!flow) return undefined
      const link = links.find(({ id }) => id === flow.linkId)
      return {
        status: flow.status,
        ...(flow.result !== undefined && { result: flow.result }),
        tenantLabel: link?.tenantLabel ?? pointer.ref.tenant,
        ...(link && { app: link.app })
      }
    }
  }

  async function openLink(linkToken: string): Promise<OpenLink | { refused: LinkRefusal }> {
    const pointer = await connectStore.findLink(tokens.hash(linkToken))
    if (!pointer) return { refused: 'link_unknown' }
    const { ref, id } = pointer
    const [connection, { links }] = await Promise.all([store.read(ref), connectStore.items(ref)])
    const link = links.find((each) => each.id === id)
    const refused = linkRefusal(link, clock.now())
    if (refused || !link || !connection) return { refused: refused ?? 'link_unknown' }
    const app = deps.apps.get(link.app)
    if (!app?.dataCenters.includes(link.dataCenter ?? app.startAt)) return { refused: 'app_unknown' }
    return { ref, link, app, connection }
  }

  function newFlow({ link, app, connection }: OpenLink): ConnectFlow {
    const now = clock.now()
    return {
      id: tokens.id(),
      linkId: link.id,
      status: 'open',
      dataCenter: link.dataCenter ?? app.startAt,
      epoch: connection.epoch,
      startedAt: now,
      deadline: now + settings.stateLifeMs
    }
  }

  async function sendToZoho({ ref, link }: OpenLink, flow: ConnectFlow, cookieHash: string): Promise<string> {
    const state = tokens.token()
    const { url, verifier } = await upstream.authorizeUrl({ app: link.app, dataCenter: flow.dataCenter, state })
    const sealed = sealer.seal(verifier, { purpose: 'state', ref })
    await connectStore.putState(
      tokens.hash(state),
      {
        tenant: ref.tenant,
        connection: ref.connection,
        flowId: flow.id,
        linkId: link.id,
        app: link.app,
        cookieHash,
        verifier: Buffer.from(sealed).toString('base64')
      },
      settings.stateLifeMs
    )
    return url
  }

  function startedEvent(flow: ConnectFlow): AuditEvent {
    return {
      type: 'connect_flow.started',
      at: flow.startedAt,
      actor: `link:${flow.linkId}`,
      data: { flow: flow.id, link: flow.linkId }
    }
  }
}

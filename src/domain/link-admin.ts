import type { App } from './app.ts'
import { auditEvent, type Change, type Stamp } from './change.ts'
import type { GrantAdmin, LinkOptions } from './connect-broker.ts'
import type { ConnectChange, ConnectLink } from './connect-link.ts'
import type { ConnectStore, Tokens } from './connect-ports.ts'
import { endLink, possibleOrphans } from './connect-rules.ts'
import type { Connection } from './connection.ts'
import { BrokerError } from './errors.ts'
import { advanced } from './grant-change.ts'
import type { ConnectionRef } from './ids.ts'
import { notFound } from './issue.ts'
import { requireAllowed } from './policy-gate.ts'
import type { Clock, ConnectionStore, Ids } from './ports.ts'
import type { RecordUpdate } from './record-update.ts'
import { Secret } from './secret.ts'

export interface LinkAdminDeps {
  readonly store: ConnectionStore
  readonly connectStore: ConnectStore
  readonly update: RecordUpdate
  readonly apps: ReadonlyMap<string, App>
  readonly returnUrls: ReadonlyMap<string, string>
  readonly clock: Clock
  readonly ids: Ids
  readonly tokens: Tokens
  readonly settings: { readonly linkLifeMs: number; readonly pointerKeptMs: number }
}

/** Connect links: made, listed, taken back. */
export function createLinkAdmin(deps: LinkAdminDeps): Pick<GrantAdmin, 'createLink' | 'links' | 'revokeLink'> {
  const { store, connectStore, update, clock, ids, tokens, settings } = deps
  const stamp = (actor: string): Stamp => ({ now: clock.now(), writeId: ids.writeId(), actor })

  return {
    async createLink({ consumer, ref, options }) {
      requireAllowed(consumer, 'connect', ref)
      const app = appOf(deps, options)
      const token = tokens.token()
      const link = newLink(options, consumer.name)
      await connectStore.pointToLink(
        tokens.hash(token),
        { ref, id: link.id },
        link.expiresAt - clock.now() + settings.pointerKeptMs
      )
      await update(ref, ({ connection }) => {
        if (connection && connection.details.app !== app.name) throw appMismatch(connection)
        const at = stamp(consumer.name)
        const change: ConnectChange = { kind: 'link', id: link.id, seen: undefined, next: link }
        const events = [auditEvent('connect_link.created', at, { link: link.id, app: app.name })]
        return {
          ...(connection ? { next: touched(connection, at) } : pending(ref, app, link, at)),
          grants: [],
          events,
          connect: [change]
        }
      })
      return { link, token: new Secret(token) }
    },

    async links({ consumer, ref }) {
      const [connection, { links }] = await Promise.all([store.read(ref), connectStore.items(ref)])
      if (!connection) throw notFound()
      requireAllowed(consumer, 'connect', ref)
      return [...links].sort((a, b) => a.createdAt - b.createdAt)
    },

    async revokeLink({ consumer, ref, linkId }) {
      const known = await store.read(ref)
      if (!known) throw notFound()
      requireAllowed(consumer, 'connect', ref)
      await update(ref, ({ connection, items }): Change | undefined => {
        const link = items.links.find(({ id }) => id === linkId)
        if (!connection || !link) throw linkNotFound()
        if (link.revokedAt !== undefined || link.spentBy !== undefined) return undefined
        const at = stamp(consumer.name)
        const connect = endLink(link, items, at.now)
        return {
          next: advanced(connection, at),
          grants: [],
          events: [auditEvent('connect_link.revoked', at, { link: linkId }), ...possibleOrphans(connect, at)],
          connect
        }
      })
    }
  }

  function newLink(options: LinkOptions, createdBy: string): ConnectLink {
    const now = clock.now()
    return {
      id: tokens.id(),
      app: options.app,
      ...(options.dataCenter !== undefined && { dataCenter: options.dataCenter }),
      ...(options.tenantLabel !== undefined && { tenantLabel: options.tenantLabel }),
      ...(options.returnTo !== undefined && { returnTo: options.returnTo }),
      confirm: options.confirm === true,
      ...(options.userRef !== undefined && { userRefHash: tokens.hash(options.userRef) }),
      revokeSupersededNow: options.revokeSupersededNow === true,
      createdAt: now,
      createdBy,
      expiresAt: now + (options.expiresInMs ?? settings.linkLifeMs),
      starts: 0
    }
  }
}

/** A link keeps a pending connection from being forgotten. */
function touched(connection: Connection, at: Stamp): Connection {
  const next = advanced(connection, at)
  if (connection.status !== 'pending') return next
  return { ...next, details: { ...next.details, times: { ...next.details.times, statusSince: at.now } } }
}

function pending(ref: ConnectionRef, app: App, link: ConnectLink, at: Stamp): Pick<Change, 'next'> {
  return {
    next: {
      ref,
      revision: 1,
      writeId: at.writeId,
      epoch: at.now,
      generation: 0,
      status: 'pending',
      quarantined: false,
      purge: false,
      details: {
        app: app.name,
        dataCenter: link.dataCenter ?? app.startAt,
        clientId: app.clientId,
        grantNumber: 0,
        scopes: { requested: app.scopes, granted: [] },
        times: { created: at.now, statusSince: at.now }
      }
    }
  }
}

function appOf({ apps, returnUrls }: LinkAdminDeps, options: LinkOptions): App {
  const app = apps.get(options.app)
  if (!app) throw new BrokerError('ERR_APP_UNKNOWN', 'No such app is configured; GET /v1/apps lists them.')
  if (options.dataCenter !== undefined && !app.dataCenters.includes(options.dataCenter)) {
    throw new BrokerError(
      'ERR_WRONG_DATA_CENTER',
      `App ${app.name} is not configured for this data center; it has ${app.dataCenters.join(', ')}.`
    )
  }
  if (options.returnTo !== undefined && !returnUrls.has(options.returnTo)) {
    throw new BrokerError(
      'ERR_INVALID_REQUEST',
      'return_to is not the id of a registered return URL; the operator registers them under return_urls.'
    )
  }
  if (options.confirm === true && options.userRef === undefined) {
    throw new BrokerError(
      'ERR_INVALID_REQUEST',
      'confirm needs user_ref: the user whom your backend will name when it confirms.'
    )
  }
  return app
}

/** A link or flow that is not there, or not of this connection. */
export function linkNotFound(): BrokerError {
  return new BrokerError(
    'ERR_LINK_NOT_FOUND',
    'This connection has no such connect link or flow; those that ended are kept for 24 hours.'
  )
}

function appMismatch(connection: Connection): BrokerError {
  return new BrokerError(
    'ERR_APP_MISMATCH',
    `This connection belongs to app ${connection.details.app}; use that app, or another connection id.`
  )
}

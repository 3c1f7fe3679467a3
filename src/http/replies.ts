import type { App } from '../domain/app.ts'
import type { IssuedToken } from '../domain/broker.ts'
import type { Connection } from '../domain/connection.ts'
import type { DataCenter } from '../domain/data-center.ts'
import { BrokerError } from '../domain/errors.ts'
import type { ConnectionViewBody, TokenReplyBody } from './schemas.ts'

/** The token reply. The one place outside sealing and upstream that reveals a token. Origins are the table's, never upstream's. */
export function tokenReply(
  issued: IssuedToken,
  dataCenters: ReadonlyMap<string, DataCenter>,
  now: number
): TokenReplyBody {
  const { details } = issued.connection
  const dataCenter = dataCenters.get(details.dataCenter)
  if (!dataCenter) {
    throw new BrokerError('ERR_APP_UNKNOWN', 'The data center of this connection is no longer configured.')
  }
  return {
    access_token: issued.accessToken.reveal(),
    token_type: 'Zoho-oauthtoken',
    expires_in: Math.max(0, Math.floor((issued.expiresAt - now) / 1000)),
    expires_at: rfc3339(issued.expiresAt),
    refresh_at: rfc3339(issued.refreshAt),
    generation: issued.generation,
    data_center: dataCenter.key,
    api_domain: dataCenter.api,
    origins: { api: dataCenter.api, desk: dataCenter.desk },
    ...(details.zohoOrg !== undefined && { org_id: details.zohoOrg }),
    scope: [...details.scopes.granted],
    health: issued.health
  }
}

/** What an admin may see of a connection: everything but tokens. */
export function connectionView(connection: Connection): ConnectionViewBody {
  const { details, access } = connection
  const { requested, granted } = details.scopes
  const { times, failure } = details
  return {
    tenant_id: connection.ref.tenant,
    connection_id: connection.ref.connection,
    app: details.app,
    data_center: details.dataCenter,
    status: connection.status,
    quarantined: connection.quarantined,
    generation: connection.generation,
    created_at: rfc3339(times.created),
    ...(times.connected !== undefined && { connected_at: rfc3339(times.connected) }),
    status_since: rfc3339(times.statusSince),
    ...(access && { access_expires_at: rfc3339(access.expiresAt) }),
    scopes: {
      requested: [...requested],
      granted: [...granted],
      missing: requested.filter((scope) => !granted.includes(scope))
    },
    ...(details.zohoUser !== undefined && { zoho_user_id: details.zohoUser }),
    ...(details.zohoOrg !== undefined && { org_id: details.zohoOrg }),
    ...(failure && {
      last_error: { code: failure.code, at: rfc3339(failure.at), next_try_at: rfc3339(failure.nextTryAt) }
    })
  }
}

/** One app as the catalogue shows it; its secrets stay out by being left out. */
export function appView(app: App) {
  return {
    name: app.name,
    product: app.product,
    client_id: app.clientId,
    scopes: [...app.scopes],
    data_centers: [...app.dataCenters],
    start_at: app.startAt
  }
}

/** A time as we tell it; `ms` since the epoch. */
export function rfc3339(ms: number): string {
  return new Date(ms).toISOString()
}

import type { Client } from './clients.ts'
import type { User } from './users.ts'
import type { AccessToken, Grant } from './world.ts'

/** A grant as the control API lists it: a hash, no token. */
export function showGrant(grant: Grant) {
  const { hash, dataCenter, clientId, user, org, scopes, accessType, state, live, createdAtMs } = grant
  return {
    grant: hash,
    data_center: dataCenter,
    client_id: clientId,
    user: user.name,
    zuid: user.zuid,
    org_id: org.id,
    scopes,
    access_type: accessType,
    state,
    live_access_tokens: live.length,
    created_at_ms: createdAtMs
  }
}

/** An access token as the control API lists it; `isLive` is what a resource would find. */
export function showAccessToken({ hash, grant, state, issuedAtMs, expiresAtMs }: AccessToken, isLive: boolean) {
  return {
    access_token: hash,
    grant: grant.hash,
    data_center: grant.dataCenter,
    client_id: grant.clientId,
    user: grant.user.name,
    state: state === 'live' && !isLive ? ('dead' as const) : state,
    issued_at_ms: issuedAtMs,
    expires_at_ms: expiresAtMs
  }
}

/** A client with its secrets in clear. */
export function showClient({ id, secrets, redirectUris }: Client) {
  return { client_id: id, secrets: Object.fromEntries(secrets), redirect_uris: redirectUris }
}

/** A user as the control API lists them. */
export function showUser({ dataCenter, name, zuid, email, orgs, active }: User) {
  return { data_center: dataCenter, user: name, zuid, email, orgs, active }
}

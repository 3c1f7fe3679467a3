import type { BrokerErrorCode } from '../../domain/errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every code that the route may answer with; `openapi.yaml` is made from it. */
    readonly problems?: readonly BrokerErrorCode[]
  }
}

/** What any authenticated route may answer. */
export const COMMON: readonly BrokerErrorCode[] = [
  'ERR_INVALID_REQUEST',
  'ERR_UNAUTHENTICATED',
  'ERR_FORBIDDEN',
  'ERR_RATE_LIMITED',
  'ERR_INTERNAL',
  'ERR_STORE_UNAVAILABLE'
]

/** What a route that reads one connection may answer. */
export const ONE_CONNECTION: readonly BrokerErrorCode[] = [...COMMON, 'ERR_CONNECTION_NOT_FOUND']

/** What a route that may call Zoho for one connection may answer. */
export const REFRESHING: readonly BrokerErrorCode[] = [
  ...ONE_CONNECTION,
  'ERR_APP_UNKNOWN',
  'ERR_BUSY',
  'ERR_CLIENT_CHANGED',
  'ERR_DISCONNECTED',
  'ERR_NOT_CONNECTED',
  'ERR_QUARANTINED',
  'ERR_RECONNECT_REQUIRED',
  'ERR_RECORD_TOO_NEW',
  'ERR_REFRESH_BUDGET',
  'ERR_SEALED_UNREADABLE',
  'ERR_UPSTREAM_UNAVAILABLE'
]

/** What an import may answer: it refreshes, and it changes the grant. */
export const IMPORTING: readonly BrokerErrorCode[] = [
  ...COMMON,
  'ERR_APP_MISMATCH',
  'ERR_APP_UNKNOWN',
  'ERR_BUSY',
  'ERR_CONNECTION_NOT_FOUND',
  'ERR_GRANT_BEING_REVOKED',
  'ERR_GRANT_REFUSED',
  'ERR_NOT_DURABLE',
  'ERR_RECORD_TOO_NEW',
  'ERR_REFRESH_BUDGET',
  'ERR_SCOPES_MISSING',
  'ERR_SEALED_UNREADABLE',
  'ERR_UPSTREAM_UNAVAILABLE',
  'ERR_WRONG_DATA_CENTER'
]

/** What a route that writes to a connection's record may answer. */
const WRITING: readonly BrokerErrorCode[] = [...ONE_CONNECTION, 'ERR_BUSY', 'ERR_NOT_DURABLE', 'ERR_RECORD_TOO_NEW']

/** What making a link may answer. */
export const LINKING: readonly BrokerErrorCode[] = [
  ...WRITING,
  'ERR_APP_MISMATCH',
  'ERR_APP_UNKNOWN',
  'ERR_WRONG_DATA_CENTER'
]

/** What a route about one link or flow may answer. */
export const ONE_LINK: readonly BrokerErrorCode[] = [...ONE_CONNECTION, 'ERR_BUSY', 'ERR_LINK_NOT_FOUND']

/** What confirming may answer: it makes sure of a live token first, and it changes the grant. */
export const CONFIRMING: readonly BrokerErrorCode[] = [
  ...WRITING,
  'ERR_APP_UNKNOWN',
  'ERR_CLIENT_CHANGED',
  'ERR_DISCONNECTED',
  'ERR_FLOW_EXPIRED',
  'ERR_GRANT_BEING_REVOKED',
  'ERR_GRANT_REFUSED',
  'ERR_LINK_NOT_FOUND',
  'ERR_REFRESH_BUDGET',
  'ERR_SEALED_UNREADABLE',
  'ERR_UPSTREAM_UNAVAILABLE',
  'ERR_WRONG_USER'
]

/** What stopping and resuming hand-outs may answer. */
export const QUARANTINING: readonly BrokerErrorCode[] = [...WRITING, 'ERR_DISCONNECTED', 'ERR_NOT_CONNECTED']

/** What a disconnect may answer. */
export const DISCONNECTING: readonly BrokerErrorCode[] = WRITING

import type { Connection } from './connection.ts'
import type { ConnectionRef } from './ids.ts'
import type { Consumer } from './policy.ts'
import type { Page } from './ports.ts'
import type { Secret } from './secret.ts'

/** A live access token on its way to a consumer. Times in ms since the epoch. */
export interface IssuedToken {
  readonly accessToken: Secret
  readonly expiresAt: number
  /** From then on a fresh token may be had. */
  readonly refreshAt: number
  readonly generation: number
  /** `degraded`: it lives, but a wanted refresh did not succeed. */
  readonly health: 'ok' | 'degraded'
  readonly connection: Connection
}

/** What the broker does for its consumers. Every method applies the policy and throws `BrokerError`. */
export interface Broker {
  /** A token that lives longer than `minTtlMs` (default: min(300 s, a quarter of its life)), refreshed first if need be. */
  issue(input: { consumer: Consumer; ref: ConnectionRef; minTtlMs?: number }): Promise<IssuedToken>
  /** Zoho refused the token of `generation`: the newer one, or one refresh within the budget. */
  rejected(input: { consumer: Consumer; ref: ConnectionRef; generation: number }): Promise<IssuedToken>
  read(input: { consumer: Consumer; ref: ConnectionRef }): Promise<Connection>
  /** Connections of a tenant that the consumer may read, in order of id. */
  list(input: { consumer: Consumer; tenant: string; after?: string; limit: number }): Promise<Page<Connection>>
  /** Verifies a refresh token by a real refresh, then stores it. The same token again changes nothing. */
  importGrant(input: {
    consumer: Consumer
    ref: ConnectionRef
    app: string
    dataCenter: string
    refreshToken: Secret
  }): Promise<{ connection: Connection; created: boolean }>
  /** One refresh now, paid from the admin's share; ignores back-off. */
  forceRefresh(input: { consumer: Consumer; ref: ConnectionRef }): Promise<Connection>
}

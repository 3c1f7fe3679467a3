import type { ConnectFlow, ConnectLink, ConnectResult } from './connect-link.ts'
import type { Connection } from './connection.ts'
import type { ConnectionRef } from './ids.ts'
import type { Consumer } from './policy.ts'
import type { Secret } from './secret.ts'

export interface LinkOptions {
  readonly app: string
  readonly tenantLabel?: string
  readonly returnTo?: string
  readonly dataCenter?: string
  readonly confirm?: boolean
  readonly userRef?: string
  readonly revokeSupersededNow?: boolean
  readonly expiresInMs?: number
}

/** What admins do about the life of a grant. Every method applies the policy and throws `BrokerError`. */
export interface GrantAdmin {
  /** Makes a link; `token` is the last part of its URL and is told once. */
  createLink(input: {
    consumer: Consumer
    ref: ConnectionRef
    options: LinkOptions
  }): Promise<{ link: ConnectLink; token: Secret }>
  links(input: { consumer: Consumer; ref: ConnectionRef }): Promise<readonly ConnectLink[]>
  revokeLink(input: { consumer: Consumer; ref: ConnectionRef; linkId: string }): Promise<void>
  flow(input: { consumer: Consumer; ref: ConnectionRef; flowId: string }): Promise<ConnectFlow>
  /** Accepts the grant of a flow that waits for it; `ERR_WRONG_USER` revokes it. Twice with the same user is fine. */
  confirm(input: { consumer: Consumer; ref: ConnectionRef; flowId: string; userRef: string }): Promise<Connection>
  quarantine(input: { consumer: Consumer; ref: ConnectionRef; reason?: string }): Promise<Connection>
  liftQuarantine(input: { consumer: Consumer; ref: ConnectionRef }): Promise<Connection>
  /** Nothing is issued from the moment this resolves; the revoke at Zoho follows. Again: no change. */
  disconnect(input: { consumer: Consumer; ref: ConnectionRef; purge: boolean }): Promise<Connection>
}

/** What a link page shows. */
export interface LinkPage {
  readonly tenantLabel: string
  readonly app: string
  readonly scopes: readonly string[]
  /** The connection exists and would be replaced. */
  readonly reconnect: boolean
}

/** A link that cannot be used (any more). */
export type LinkRefusal =
  | 'link_unknown'
  | 'link_expired'
  | 'link_spent'
  | 'link_revoked'
  | 'too_many_starts'
  | 'app_unknown'

/** Why a callback was refused before anything was asked of Zoho; answered by a 4xx page. */
export type CallbackRefusal = 'state_unknown' | 'browser_mismatch' | 'data_center_mismatch'

/** Where the browser goes after a callback: a page of ours, or the registered return URL. */
export type CallbackOutcome =
  | { readonly kind: 'refused'; readonly why: CallbackRefusal }
  | { readonly kind: 'ended'; readonly flowId: string; readonly result: ConnectResult; readonly returnUrl?: string }

/** What a person's browser does. Never throws for what the browser sent; `ERR_STORE_UNAVAILABLE` when the store is away. */
export interface ConnectPages {
  look(linkToken: string): Promise<{ readonly page: LinkPage } | { readonly refused: LinkRefusal }>
  /** The button: a new flow, bound to the browser by the hash of its cookie. `url` is Zoho's consent page. */
  start(input: {
    linkToken: string
    cookieHash: string
  }): Promise<{ readonly url: string } | { readonly refused: LinkRefusal }>
  /** Zoho's redirect, already checked for its form. */
  callback(input: {
    state: string
    cookieHash: string | undefined
    code?: Secret
    error?: string
    location?: string
    accountsServer?: string
  }): Promise<CallbackOutcome>
  /** How a flow came out; undefined when there is no such flow (any more). */
  result(flowId: string): Promise<
    | {
        readonly status: ConnectFlow['status']
        readonly result?: ConnectResult
        readonly tenantLabel?: string
        readonly app?: string
      }
    | undefined
  >
  /** Origins that a form on the link page may lead to, for its CSP: the accounts origins of the link's app and the return URL's. */
  formTargets(linkToken: string): Promise<readonly string[]>
}

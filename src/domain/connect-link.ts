/** Ways in which a connect flow, or the request that should have ended it, came out. Shown to people and to support. */
export type ConnectResult =
  | 'connected'
  | 'awaiting_confirmation'
  | 'access_denied'
  | 'authorization_failed'
  | 'no_refresh_token'
  | 'scopes_missing'
  | 'code_refused'
  | 'client_refused'
  | 'wrong_data_center'
  | 'upstream_unavailable'
  | 'exchange_outcome_unknown'
  | 'store_unavailable'
  | 'not_durable'
  | 'grant_being_revoked'
  | 'connection_changed'
  | 'link_spent'
  | 'confirmation_expired'
  | 'wrong_user'
  | 'flow_ended'

/** What an admin gives to a person: leave to connect one connection, once. Times in ms since the epoch. */
export interface ConnectLink {
  readonly id: string
  readonly app: string
  /** Where the flow starts, if not at the app's `startAt`. */
  readonly dataCenter?: string
  /** How the page names the tenant. */
  readonly tenantLabel?: string
  /** Id of a registered return URL. */
  readonly returnTo?: string
  /** The grant waits for the product's backend to confirm it. */
  readonly confirm: boolean
  /** SHA-256 (hex) of the user that has to be named on confirmation. */
  readonly userRefHash?: string
  /** Revoke the grant that is replaced at once, not when its last access token has expired. */
  readonly revokeSupersededNow: boolean
  readonly createdAt: number
  readonly createdBy: string
  readonly expiresAt: number
  /** Flows started from it. */
  readonly starts: number
  /** The flow whose grant was stored: the link has done its work. */
  readonly spentBy?: string
  /** Taken back by an admin, or ended with the connection. */
  readonly revokedAt?: number
}

export type ConnectFlowStatus = 'open' | 'exchanging' | 'awaiting_confirmation' | 'done' | 'failed'

/** One attempt to connect. */
export interface ConnectFlow {
  /** 32 hex digits, unguessable: it names the result page. */
  readonly id: string
  readonly linkId: string
  readonly status: ConnectFlowStatus
  readonly dataCenter: string
  /** The connection's epoch at the start; another one at the callback means somebody else changed the owner. */
  readonly epoch: number
  readonly result?: ConnectResult
  readonly grantNumber?: number
  readonly startedAt: number
  /** When it ends by itself. */
  readonly deadline: number
  readonly endedAt?: number
}

/** What is kept under the hash of a state while the person is at Zoho. */
export interface ConnectState {
  readonly tenant: string
  readonly connection: string
  readonly flowId: string
  readonly linkId: string
  readonly app: string
  /** SHA-256 (hex) of the browser cookie that the flow was started with. */
  readonly cookieHash: string
  /** The sealed PKCE verifier, base64. */
  readonly verifier: string
}

/** A guarded change of one link or flow: `seen` is the very object that was read (undefined: it must not exist). */
export type ConnectChange =
  | {
      readonly kind: 'link'
      readonly id: string
      readonly seen: ConnectLink | undefined
      readonly next: ConnectLink | undefined
    }
  | {
      readonly kind: 'flow'
      readonly id: string
      readonly seen: ConnectFlow | undefined
      readonly next: ConnectFlow | undefined
    }

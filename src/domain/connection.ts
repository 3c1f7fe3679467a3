import type { BrokerErrorCode } from './errors.ts'
import type { ConnectionRef } from './ids.ts'

export const STATUSES = ['pending', 'active', 'reconnect_required', 'disconnecting', 'disconnected'] as const

/** Where a connection stands; `disconnected` is a tombstone. */
export type Status = (typeof STATUSES)[number]

/** Why the last refresh did not bring a token. Stored and shown to admins. */
export type FailureCode =
  | 'grant_refused'
  | 'client_refused'
  | 'wrong_data_center'
  | 'throttled'
  | 'upstream_unavailable'
  | 'client_changed'

/** Failure data of a record. All times in ms since the epoch. */
export interface Failure {
  readonly code: FailureCode
  /** Failures in a row, of any code. */
  readonly count: number
  readonly since: number
  readonly at: number
  /** No upstream call before this time, except a forced one. */
  readonly nextTryAt: number
  /** When the grant was first refused; kept through other failures, gone with a success. */
  readonly firstStrikeAt?: number
}

/** The JSON part of a record. Members that this version does not know are kept by spreading. */
export interface Details {
  readonly app: string
  readonly dataCenter: string
  /** The client id that the grant was given to. */
  readonly clientId: string
  /** Numbers the grants of one connection from 1; 0 while there was none. */
  readonly grantNumber: number
  /** The highest number ever given, to candidates too. */
  readonly grantsNumbered?: number
  readonly scopes: { readonly requested: readonly string[]; readonly granted: readonly string[] }
  readonly zohoUser?: string
  readonly zohoOrg?: string
  readonly times: {
    readonly created: number
    readonly statusSince: number
    readonly connected?: number
    /** When the request for the stored access token was sent. */
    readonly accessIssued?: number
  }
  readonly failure?: Failure
  readonly quarantine?: { readonly since: number; readonly by: string; readonly reason: string }
}

/** A sealed access token and when it ends (ms). */
export interface SealedAccess {
  readonly sealed: Uint8Array
  readonly expiresAt: number
}

/** One connection as stored: header, sealed tokens, details. Immutable; every change is a new value. */
export interface Connection {
  readonly ref: ConnectionRef
  /** +1 on every write. */
  readonly revision: number
  /** 8 random bytes of the write, as 16 hex digits. */
  readonly writeId: string
  readonly epoch: number
  readonly generation: number
  readonly status: Status
  readonly quarantined: boolean
  readonly purge: boolean
  readonly access?: SealedAccess
  readonly sealedRefresh?: Uint8Array
  readonly details: Details
  /** Written by a newer version: may be read, never written by this one. */
  readonly readOnly?: true
}

export const EVENTS = [
  'issue',
  'forced_refresh',
  'link',
  'grant_stored',
  'quarantine',
  'disconnect',
  'refresh_answered'
] as const

/** What can happen to a connection. `rejected` follows `issue`. */
export type ConnectionEvent = (typeof EVENTS)[number]

/** What an event does in a status: refused with a code, dropped without a trace, or done, perhaps with a new status. */
export type Outcome =
  | { readonly refuse: BrokerErrorCode }
  | { readonly drop: true }
  | { readonly to: Status | 'same'; readonly effects: readonly Effect[] }

/** Work that goes with a change of status. */
export type Effect =
  | 'serve'
  | 'refresh_if_needed'
  | 'refresh_once'
  | 'create_link'
  | 'store_grant'
  | 'supersede_old_grant'
  | 'keep_waiting_revokes'
  | 'set_quarantine_flag'
  | 'end_links_flows_candidates'
  | 'revoke_current_grant'
  | 'store_access_or_fate'

const refuse = (code: BrokerErrorCode): Outcome => ({ refuse: code })
const done = (to: Status | 'same', ...effects: Effect[]): Outcome => ({ to, effects })
const DROP: Outcome = { drop: true }
const NOT_FOUND = refuse('ERR_CONNECTION_NOT_FOUND')
const NOT_CONNECTED = refuse('ERR_NOT_CONNECTED')
const GONE = refuse('ERR_DISCONNECTED')

/** The whole life of a connection (`DESIGN.md` §6). Quarantine and `purge` are flags and stand beside it. */
export const TABLE: { readonly [E in ConnectionEvent]: { readonly [S in Status | 'absent']: Outcome } } = {
  issue: {
    absent: NOT_FOUND,
    pending: NOT_CONNECTED,
    active: done('same', 'refresh_if_needed', 'serve'),
    reconnect_required: refuse('ERR_RECONNECT_REQUIRED'),
    disconnecting: GONE,
    disconnected: GONE
  },
  forced_refresh: {
    absent: NOT_FOUND,
    pending: NOT_CONNECTED,
    active: done('same', 'refresh_once'),
    reconnect_required: done('same', 'refresh_once'),
    disconnecting: GONE,
    disconnected: GONE
  },
  link: {
    absent: done('pending', 'create_link'),
    pending: done('same', 'create_link'),
    active: done('same', 'create_link'),
    reconnect_required: done('same', 'create_link'),
    disconnecting: done('same', 'create_link'),
    disconnected: done('same', 'create_link')
  },
  grant_stored: {
    absent: done('active', 'store_grant'),
    pending: done('active', 'store_grant'),
    active: done('active', 'store_grant', 'supersede_old_grant'),
    reconnect_required: done('active', 'store_grant', 'supersede_old_grant'),
    disconnecting: done('active', 'store_grant', 'keep_waiting_revokes'),
    disconnected: done('active', 'store_grant', 'keep_waiting_revokes')
  },
  quarantine: {
    absent: NOT_FOUND,
    pending: NOT_CONNECTED,
    active: done('same', 'set_quarantine_flag'),
    reconnect_required: done('same', 'set_quarantine_flag'),
    disconnecting: GONE,
    disconnected: GONE
  },
  disconnect: {
    absent: NOT_FOUND,
    pending: done('disconnected', 'end_links_flows_candidates'),
    active: done('disconnecting', 'end_links_flows_candidates', 'revoke_current_grant'),
    reconnect_required: done('disconnecting', 'end_links_flows_candidates', 'revoke_current_grant'),
    disconnecting: done('same'),
    disconnected: done('same')
  },
  refresh_answered: {
    absent: DROP,
    pending: DROP,
    active: done('active', 'store_access_or_fate'),
    reconnect_required: done('active', 'store_access_or_fate'),
    disconnecting: DROP,
    disconnected: DROP
  }
}

/** What `event` does to `connection` (undefined: there is none). */
export function decide(event: ConnectionEvent, connection: Connection | undefined): Outcome {
  return TABLE[event][connection?.status ?? 'absent']
}

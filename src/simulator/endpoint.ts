import { type Static, Type } from '@sinclair/typebox'
import type { Call } from './call.ts'

/** The kinds of endpoint that faults and the gate can aim at. */
export const Endpoint = Type.Union([
  Type.Literal('token'),
  Type.Literal('revoke'),
  Type.Literal('resource'),
  /** The consent page and what its buttons call. */
  Type.Literal('authorize'),
  Type.Literal('user_info'),
  Type.Literal('discovery')
])
/** What a path is to faults and the gate. */
export type Endpoint = Static<typeof Endpoint>

/** What a data center says to a call. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: string
  /** For the ledger: `ok` or the error code. */
  readonly outcome: string
  /** For the ledger: hash of the access token that was made or presented. */
  readonly accessToken?: string | undefined
  /** For the ledger: hash of the refresh token that was made. */
  readonly refreshToken?: string | undefined
  /** For the ledger: hash of the code that was made. */
  readonly code?: string | undefined
}

/** One endpoint's behaviour: pure of sockets, so that faults stay outside. */
export type Handler = (call: Call) => Answer

/** A path of a data center. */
export interface Route {
  readonly endpoint: Endpoint
  readonly handle: Handler
}

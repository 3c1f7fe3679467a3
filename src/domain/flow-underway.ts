import type { App } from './app.ts'
import type { ConnectFlow, ConnectLink, ConnectState } from './connect-link.ts'
import type { Connection } from './connection.ts'
import type { ConnectionRef } from './ids.ts'

/** A flow on its way, with all that its callback needs. */
export interface FlowUnderway {
  readonly ref: ConnectionRef
  readonly app: App
  readonly link: ConnectLink
  readonly flow: ConnectFlow
  readonly state: ConnectState
  /** The record before the exchange. */
  readonly current?: Connection
}

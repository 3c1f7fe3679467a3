import type { ConnectChange, ConnectFlow, ConnectLink, ConnectState } from './connect-link.ts'
import type { Connection } from './connection.ts'
import type { ConnectionRef } from './ids.ts'
import type { AuditEvent, Seen, UpstreamReply } from './ports.ts'
import type { Secret } from './secret.ts'

/** All links and flows of one connection. */
export interface ConnectItems {
  readonly links: readonly ConnectLink[]
  readonly flows: readonly ConnectFlow[]
}

/** Where a link or flow belongs. */
export interface ConnectPointer {
  readonly ref: ConnectionRef
  readonly id: string
}

/** Links, flows and states. Every method throws `ERR_STORE_UNAVAILABLE` when the store does not answer in time. */
export interface ConnectStore {
  /** Links and flows of a connection. Objects read here are what `seen` of a change must be. */
  items(ref: ConnectionRef): Promise<ConnectItems>
  /** All or nothing: false when one of them was changed by somebody else. Events go to the outbox in the same write. */
  change(
    ref: ConnectionRef,
    input: {
      readonly changes: readonly ConnectChange[]
      readonly events?: readonly AuditEvent[]
      /** Wait for the configured replicas, else `ERR_NOT_DURABLE`: it is written, but may be lost with its primary. */
      readonly durable?: boolean
    }
  ): Promise<boolean>
  /** Makes a link findable by the SHA-256 of its token (hex). */
  pointToLink(tokenHash: string, pointer: ConnectPointer, lifeMs: number): Promise<void>
  findLink(tokenHash: string): Promise<ConnectPointer | undefined>
  pointToFlow(flowId: string, pointer: ConnectPointer, lifeMs: number): Promise<void>
  findFlow(flowId: string): Promise<ConnectPointer | undefined>
  putState(stateHash: string, state: ConnectState, lifeMs: number): Promise<void>
  /** Gives a state once and forgets it. */
  takeState(stateHash: string): Promise<ConnectState | undefined>
}

/** The due index: which connections need work. */
export interface DueIndex {
  /** Claims up to `limit` members due at `now`, nearest first; each is hidden until now + `visibilityMs`. */
  claim(input: {
    readonly now: number
    readonly limit: number
    readonly visibilityMs: number
  }): Promise<readonly ConnectionRef[]>
  /** Sets the true time of one connection, computed from `seen`; a record that changed meanwhile is due again soon. */
  settle(ref: ConnectionRef, seen: Seen, dueAt: number | undefined): Promise<void>
}

/** The end of a record, and of all that hangs on it. */
export interface Tombstones {
  /** Removes record, grants, links, flows, indexes, if the header is still the one seen. False: it is not. */
  remove(ref: ConnectionRef, seen: Pick<Connection, 'revision' | 'writeId'>): Promise<boolean>
}

/** Events that belong to no connection's record: refusals. Best effort, never throws. */
export interface AuditSink {
  append(event: AuditEvent, ref?: ConnectionRef): void
  /** Relays what a crash left in a connection's outbox. */
  relayOutbox(ref: ConnectionRef): Promise<void>
}

/** What Zoho said to a revoke. */
export type RevokeReply =
  | { readonly kind: 'revoked' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'refused'; readonly fault: 'ours' | 'throttled'; readonly code: string }
  | { readonly kind: 'failed'; readonly code: string; readonly sent: boolean }

/** The parts of Zoho's accounts servers that connect and disconnect need. */
export interface ConnectUpstream {
  /** The URL of Zoho's consent page for a state that is about to be stored, and the PKCE verifier that belongs to it. */
  authorizeUrl(input: {
    readonly app: string
    readonly dataCenter: string
    readonly state: string
  }): Promise<{ readonly url: string; readonly verifier: Secret }>
  /** Redeems a code, at most once. Never throws for what the upstream does. */
  exchange(input: {
    readonly app: string
    readonly dataCenter: string
    readonly code: Secret
    readonly verifier: Secret
    /** The state that the route consumed; the plugin only confirms it. */
    readonly state: string
  }): Promise<UpstreamReply>
  revoke(input: {
    readonly app: string
    readonly dataCenter: string
    readonly refreshToken: Secret
  }): Promise<RevokeReply>
}

/** Random names and their hashes. */
export interface Tokens {
  /** 256 random bits in base64url, 43 characters. */
  token(): string
  /** 128 random bits as 32 hex digits. */
  id(): string
  /** SHA-256 as 64 hex digits. */
  hash(text: string): string
}

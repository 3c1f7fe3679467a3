import type { ConnectChange } from './connect-link.ts'
import type { Connection } from './connection.ts'
import type { ConnectionRef } from './ids.ts'
import type { Secret } from './secret.ts'

/** Time and randomness, so that every decision can be tested with values. */
export interface Clock {
  /** Milliseconds since the epoch by the store's clock. */
  now(): number
}

export interface Ids {
  /** 16 hex digits: names one write. */
  writeId(): string
  /** 32 hex digits: names one holder of a lease. */
  owner(): string
  /** A number in [0, 1), for jitter. */
  random(): number
}

/** What a sealed value is bound to (`DESIGN.md` §5). It opens only with the very same context. */
export interface SealContext {
  readonly purpose: 'refresh' | 'access' | 'state'
  readonly ref: ConnectionRef
  readonly dataCenter?: string
  readonly grantNumber?: number
  readonly generation?: number
  readonly expiresAt?: number
}

export interface Sealer {
  seal(secret: Secret, context: SealContext): Uint8Array
  /** Throws `ERR_SEALED_UNREADABLE` for an unknown key id, another context or a changed byte. */
  open(envelope: Uint8Array, context: SealContext): Secret
}

/** Who pays for an upstream refresh: anyone who asks, a rejected token, an admin. */
export type Share = 'anyone' | 'rejected' | 'admin'

/** The guard of a write: the stored header must still be this one; undefined means there must be no record. */
export type Seen = Pick<Connection, 'revision' | 'writeId'> | undefined

export interface BeginInput {
  readonly ref: ConnectionRef
  readonly seen: Seen
  readonly owner: string
  readonly ttlMs: number
  readonly share: Share
  /** Refreshes that this share may make in a window. */
  readonly limit: number
  readonly windowMs: number
  readonly now: number
}

/** Names one charge to the budget, so that it can be given back. */
export type Charge = string

export type Begun =
  | { readonly kind: 'go'; readonly charge: Charge }
  | { readonly kind: 'changed'; readonly current: Connection | undefined }
  | { readonly kind: 'held'; readonly forMs: number }
  | { readonly kind: 'over'; readonly until: number }

/** A change of the grants that are not current (`ztb:g`); undefined removes one. */
export interface GrantChange {
  readonly number: number
  readonly entry: WaitingGrant | undefined
}

/** A grant that is not current and waits to be accepted or revoked. */
export interface WaitingGrant {
  readonly number: number
  readonly kind: 'candidate' | 'superseded'
  readonly reason: string
  readonly app: string
  readonly clientId: string
  readonly dataCenter: string
  readonly zohoUser?: string
  readonly sealedRefresh: Uint8Array
  /** When it wants work: a superseded one its revoke, a candidate its end. */
  readonly due: number
  /** Revokes tried so far, and when the first one failed. */
  readonly tries: number
  readonly since?: number
  /** A revoke has begun: the token must not become current any more. */
  readonly revoking?: boolean
  /** Of a candidate: what it becomes current with. */
  readonly candidate?: {
    readonly flowId: string
    readonly scopes: { readonly requested: readonly string[]; readonly granted: readonly string[] }
    /** Sealed under generation 0. */
    readonly sealedAccess: Uint8Array
    readonly accessIssued: number
    readonly accessExpiresAt: number
  }
}

/** One fact for the record: `noun.past-participle`. Never holds a secret. */
export interface AuditEvent {
  readonly type: string
  readonly at: number
  readonly actor: string
  readonly data: { readonly [name: string]: string | number | boolean }
}

export interface CommitInput {
  readonly seen: Seen
  readonly next: Connection
  /** Deletes the lease in the same write if it is this owner's. */
  readonly owner?: string
  readonly giveBack?: Charge
  /** Nobody may refresh before this time (ms). */
  readonly closeBudgetUntil?: number
  readonly grants?: readonly GrantChange[]
  /** Links and flows that change in the same write; if one of them is not as seen, the commit is `lost`. */
  readonly connect?: readonly ConnectChange[]
  readonly events?: readonly AuditEvent[]
  /** The earliest time at which the record itself needs work; undefined: never. The store adds what waits in grants and flows. */
  readonly dueAt: number | undefined
  /** A grant-changing write: wait for the configured replicas, else `ERR_NOT_DURABLE`. */
  readonly durable?: boolean
}

export type Committed =
  | { readonly kind: 'written' }
  /** `connectChanged`: the record is still the one seen, but a link or flow is not. */
  | { readonly kind: 'lost'; readonly current: Connection | undefined; readonly connectChanged?: true }

export interface Page<T> {
  readonly items: readonly T[]
  /** Pass it as `after` for the next page; absent on the last. */
  readonly next?: string
}

/** The records. Every method throws `ERR_STORE_UNAVAILABLE` when the store does not answer in time. */
export interface ConnectionStore {
  read(ref: ConnectionRef): Promise<Connection | undefined>
  /** Connections of one tenant in order of their id. */
  list(tenant: string, options: { readonly after?: string; readonly limit: number }): Promise<Page<Connection>>
  /** Takes lease and charge together, if the header is still the one seen. */
  begin(input: BeginInput): Promise<Begun>
  /** Prolongs the lease; false when it is no longer this owner's. */
  renew(ref: ConnectionRef, owner: string, ttlMs: number): Promise<boolean>
  /** Gives up a lease without a write. */
  release(ref: ConnectionRef, owner: string, giveBack?: Charge): Promise<void>
  /** The grants of a connection that are not current. */
  waitingGrants(ref: ConnectionRef): Promise<readonly WaitingGrant[]>
  /** The guarded write. Sent twice with one write id it is written once. */
  commit(input: CommitInput): Promise<Committed>
}

/** Tells other processes that a connection changed. A hint: waiters also look again by themselves. */
export interface WakeUp {
  publish(ref: ConnectionRef): void
  /** Resolves when the connection was published, at the latest after `ms`. */
  wait(ref: ConnectionRef, ms: number): Promise<void>
}

/** What Zoho said to a refresh (or, later, an exchange). */
export type UpstreamReply =
  | {
      readonly kind: 'granted'
      readonly accessToken: Secret
      readonly refreshToken?: Secret
      /** Life in ms, counted from `sentAt`, already clamped to an hour. */
      readonly lifeMs: number
      readonly scopes?: readonly string[]
      /** The upstream named an API origin that is not the table's. */
      readonly apiDomainDiffers: boolean
    }
  | {
      readonly kind: 'refused'
      /** The grant's fault, ours (client, secret, redirect URI), or a throttle. */
      readonly fault: 'grant' | 'ours' | 'throttled'
      /** An allow-listed code; never upstream text. */
      readonly code: string
    }
  | {
      readonly kind: 'failed'
      readonly code:
        | 'timeout'
        | 'network'
        | 'http_status'
        | 'not_json'
        | 'too_large'
        | 'redirect'
        | 'malformed'
        | 'unknown_error'
        | 'busy'
      /** False only when the request certainly never left this process. */
      readonly sent: boolean
    }

export interface Upstream {
  /** Never throws for what the upstream does; ends within the configured deadline. */
  refresh(input: {
    readonly app: string
    readonly dataCenter: string
    readonly refreshToken: Secret
    /** Leaves the places kept for callers who wait to them. */
    readonly background?: boolean
  }): Promise<UpstreamReply>
}

/** What the domain tells logs and metrics. Never holds a secret. */
export type BrokerEvent =
  | {
      readonly type: 'refresh.ended'
      readonly ref: ConnectionRef
      readonly app: string
      readonly dataCenter: string
      readonly outcome: string
      readonly ms: number
    }
  | { readonly type: 'write.refused'; readonly ref: ConnectionRef; readonly what: 'refresh' | 'import' }
  | { readonly type: 'lease.lost'; readonly ref: ConnectionRef }
  | { readonly type: 'lease.waited'; readonly ref: ConnectionRef; readonly ms: number }
  | { readonly type: 'budget.refused'; readonly ref: ConnectionRef; readonly share: Share }
  | { readonly type: 'store.retried'; readonly ref: ConnectionRef; readonly attempt: number }
  | { readonly type: 'store.gave_up'; readonly ref: ConnectionRef }
  | { readonly type: 'sealed.unreadable'; readonly ref: ConnectionRef; readonly purpose: string }
  | {
      readonly type: 'grant.orphaned'
      readonly ref: ConnectionRef
      readonly outcome: string
      readonly fingerprint: string
    }
  | { readonly type: 'revoke.ended'; readonly ref: ConnectionRef; readonly outcome: string }

/** One hand-out or refusal, for the audit line. */
export interface HandOut {
  readonly consumer: string
  readonly ref: ConnectionRef
  /** `issued`, or the code of the refusal. */
  readonly outcome: string
  readonly generation?: number
  /** First 8 hex digits of a keyed hash of the token. */
  readonly fingerprint?: string
}

/** Names a secret without telling it: 8 hex digits of an HMAC under a key of ours. */
export type Fingerprint = (secret: Secret) => string

export type Emit = (event: BrokerEvent) => void

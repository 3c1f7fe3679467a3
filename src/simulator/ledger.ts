import { type Static, Type } from '@sinclair/typebox'
import type { Call } from './call.ts'
import type { Answer } from './endpoint.ts'
import { hashOf } from './token-format.ts'

/** One call to a data center. It holds hashes of codes and tokens, never one in clear. */
export interface LedgerEntry {
  readonly seq: number
  readonly time_ms: number
  readonly data_center: string
  readonly method: string
  readonly path: string
  readonly grant_type: string | null
  readonly client_id: string | null
  readonly user_agent: string | null
  /** Where parameters stood: `query`, `body`, `basic`. */
  readonly placement: readonly string[]
  /** Number of the TCP connection; equal numbers share one. 0: the `consent` control. */
  readonly connection: number
  /** Hash of the refresh token that was sent, or that an exchange made. */
  refresh_token: string | null
  /** Hash of the code that a consent made or an exchange sent. */
  code: string | null
  /** Hash of the access token that this call made or presented. */
  access_token: string | null
  /** `arrived` until answered; then `ok`, `screen` or an error code; `fault` or `abandoned` when it was never handled. */
  outcome: string
  /** The fault that took the place of the answer. */
  fault: string | null
  status: number | null
}

/** What is known of a call before it is answered. */
export type Arrival = Omit<LedgerEntry, 'seq' | 'time_ms' | 'access_token' | 'outcome' | 'fault' | 'status'>

const text = Type.Optional(Type.String())

/** Every member that is given must be equal; `placement` must be among those used. */
export const LedgerFilter = Type.Object(
  {
    /** Only entries with a larger seq. */
    after_seq: Type.Optional(Type.Integer({ minimum: 0 })),
    data_center: text,
    method: text,
    path: text,
    grant_type: text,
    client_id: text,
    user_agent: text,
    refresh_token: text,
    access_token: text,
    code: text,
    outcome: text,
    fault: text,
    placement: text,
    connection: Type.Optional(Type.Integer())
  },
  { additionalProperties: false }
)
/** Which entries to find. */
export type LedgerFilter = Static<typeof LedgerFilter>

/** The ledger of a simulator. */
export type Ledger = ReturnType<typeof createLedger>

/** Every call in the order of arrival. */
export function createLedger(now: () => number) {
  let entries: LedgerEntry[] = []
  let seq = 0

  function arrive(arrival: Arrival): LedgerEntry {
    seq += 1
    const entry = { seq, time_ms: now(), ...arrival, access_token: null, outcome: 'arrived', fault: null, status: null }
    entries.push(entry)
    return entry
  }

  return {
    arrive,
    find: (filter: LedgerFilter = {}): LedgerEntry[] => entries.filter((entry) => matches(entry, filter)),
    /** Forgets the entries; `seq` goes on. */
    clear: (): void => {
      entries = []
    }
  }
}

/** What the ledger keeps of a call. */
export function arrivalOf({ dataCenter, method, path, headers, parameters, placement }: Call, connection = 0): Arrival {
  const sent = parameters.get('refresh_token') ?? parameters.get('token')
  const code = parameters.get('code')
  return {
    data_center: dataCenter,
    method,
    path,
    grant_type: parameters.get('grant_type') ?? null,
    client_id: parameters.get('client_id') ?? null,
    user_agent: headers['user-agent'] ?? null,
    placement,
    connection,
    refresh_token: sent === undefined ? null : hashOf(sent),
    code: code === undefined ? null : hashOf(code)
  }
}

/** Enters what Zoho did, whether the caller will hear of it or not. */
export function recordWork(entry: LedgerEntry, { outcome, accessToken, refreshToken, code }: Answer): void {
  entry.outcome = outcome
  entry.access_token = accessToken ?? null
  entry.refresh_token = refreshToken ?? entry.refresh_token
  entry.code = code ?? entry.code
}

function matches(entry: LedgerEntry, { after_seq = 0, placement, ...equal }: LedgerFilter): boolean {
  if (entry.seq <= after_seq) return false
  if (placement !== undefined && !entry.placement.includes(placement)) return false
  return Object.entries(equal).every(([name, value]) => entry[name as keyof typeof equal] === value)
}

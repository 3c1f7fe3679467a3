import type { Connection, Failure } from './connection.ts'
import { refKey } from './ids.ts'

const SECOND = 1000
const DAY = 86_400 * SECOND

/** Kept below a token's end when the caller names no wish: 300 s or a quarter of its life, whichever is less. */
const DEFAULT_MARGIN_MS = 300 * SECOND

/** A tombstone is removed after this time. */
const TOMBSTONE_MS = 90 * DAY

/** A pending connection goes after this time without a link. */
const PENDING_MS = 7 * DAY

/** How long the stored access token lives from now, in ms; 0 when there is none or it is over. */
export function timeLeftMs(connection: Connection, now: number): number {
  return connection.access ? Math.max(0, connection.access.expiresAt - now) : 0
}

/** The life of the stored access token in ms, from the request that brought it to its end. */
export function lifeMs(connection: Connection): number {
  if (!connection.access) return 0
  return Math.max(1, connection.access.expiresAt - (connection.details.times.accessIssued ?? 0))
}

/** How much life a token must have left to be handed out (`DESIGN.md` §6 Issue). `minTtlMs` is the caller's wish. */
export function marginMs(connection: Connection, minTtlMs: number | undefined): number {
  const life = lifeMs(connection)
  return minTtlMs === undefined ? Math.min(DEFAULT_MARGIN_MS, life / 4) : Math.min(minTtlMs, life / 2)
}

/** Whether the stored token may be handed out as it is. */
export function isUsable(connection: Connection, minTtlMs: number | undefined, now: number): boolean {
  const left = timeLeftMs(connection, now)
  return left > 0 && left > marginMs(connection, minTtlMs)
}

/** From when on a request without a wish brings a fresh token, in ms since the epoch. */
export function refreshAt(connection: Connection): number {
  return (connection.access?.expiresAt ?? 0) - marginMs(connection, undefined)
}

/** When the proactive refresh is due: at 65 to 80 % of the token's life, spread by connection and generation. */
export function proactiveRefreshAt(connection: Connection): number {
  const share = 0.65 + 0.15 * spread(`${refKey(connection.ref)}:${connection.generation}`)
  return Math.round((connection.access?.expiresAt ?? 0) - lifeMs(connection) * (1 - share))
}

/** The earliest time at which the connection itself needs work; undefined: never. Grants and flows come on top. */
export function dueAt(connection: Connection, now: number): number | undefined {
  const { times, failure } = connection.details
  switch (connection.status) {
    case 'active':
      if (connection.quarantined) return undefined
      return Math.max(connection.access ? proactiveRefreshAt(connection) : now, failure?.nextTryAt ?? 0)
    case 'pending':
      return times.statusSince + PENDING_MS
    case 'disconnecting':
      // What it waits for are its grants, which have due times of their own.
      return undefined
    case 'disconnected':
      return connection.purge ? now : times.statusSince + TOMBSTONE_MS
    case 'reconnect_required':
      return undefined
  }
}

export interface BackoffSettings {
  readonly backoffFirstMs: number
  readonly backoffMaxMs: number
}

/** How long to wait after the nth failure in a row (from 1): four times longer each time, ± 20 % by `random` in [0, 1), capped. */
export function backoffMs(count: number, settings: BackoffSettings, random: number): number {
  const plain = settings.backoffFirstMs * 4 ** Math.min(count - 1, 20)
  return Math.round(Math.min(settings.backoffMaxMs, plain * (0.8 + 0.4 * random)))
}

/** How long a caller should wait before the next upstream call, in ms; 0 when one may be made now. */
export function waitForNextTryMs(failure: Failure | undefined, now: number): number {
  return failure ? Math.max(0, failure.nextTryAt - now) : 0
}

/** A stable number in [0, 1) from a text (FNV-1a), so that every process computes the same jitter. */
function spread(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  // FNV-1a alone mixes its last bytes badly into the high bits.
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

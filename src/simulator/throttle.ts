/** What the limiter knows about one refresh token. */
export interface ThrottleState {
  /** Times of the mints inside the window, oldest first, in ms. */
  readonly mintedAtMs: number[]
  shutUntilMs: number
}

interface Limits {
  readonly throttle_mints: number
  readonly throttle_window_ms: number
}

/** A refresh token that has minted nothing. */
export function newThrottleState(): ThrottleState {
  return { mintedAtMs: [], shutUntilMs: 0 }
}

/** True while the limiter refuses; every call in that time keeps it shut for another window (zoho.md §4). */
export function isShut(state: ThrottleState, limits: Limits, nowMs: number): boolean {
  if (nowMs >= state.shutUntilMs) return false
  state.shutUntilMs = nowMs + limits.throttle_window_ms
  return true
}

/** True if one more mint is too much for the window; that shuts the limiter. */
export function isOverLimit(state: ThrottleState, limits: Limits, nowMs: number): boolean {
  while ((state.mintedAtMs[0] ?? nowMs) <= nowMs - limits.throttle_window_ms) state.mintedAtMs.shift()
  if (state.mintedAtMs.length < limits.throttle_mints) return false
  state.shutUntilMs = nowMs + limits.throttle_window_ms
  return true
}

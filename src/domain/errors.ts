/** Every refusal and failure a caller can see. Stable: callers program against these. `docs/errors.md` explains each. */
export type BrokerErrorCode =
  | 'ERR_APP_MISMATCH'
  | 'ERR_APP_UNKNOWN'
  | 'ERR_BUSY'
  | 'ERR_CLIENT_CHANGED'
  | 'ERR_CONNECTION_NOT_FOUND'
  | 'ERR_DISCONNECTED'
  | 'ERR_FLOW_EXPIRED'
  | 'ERR_FORBIDDEN'
  | 'ERR_GRANT_BEING_REVOKED'
  | 'ERR_GRANT_REFUSED'
  | 'ERR_INTERNAL'
  | 'ERR_INVALID_REQUEST'
  | 'ERR_LINK_NOT_FOUND'
  | 'ERR_NOT_CONNECTED'
  | 'ERR_NOT_DURABLE'
  | 'ERR_QUARANTINED'
  | 'ERR_RATE_LIMITED'
  | 'ERR_RECONNECT_REQUIRED'
  | 'ERR_RECORD_TOO_NEW'
  | 'ERR_REFRESH_BUDGET'
  | 'ERR_ROUTE_NOT_FOUND'
  | 'ERR_SCOPES_MISSING'
  | 'ERR_SEALED_UNREADABLE'
  | 'ERR_STORE_UNAVAILABLE'
  | 'ERR_UNAUTHENTICATED'
  | 'ERR_UPSTREAM_UNAVAILABLE'
  | 'ERR_WRONG_DATA_CENTER'
  | 'ERR_WRONG_USER'

/** The one error class of the broker. `message` is public: it says what happened and what to do next, and never holds a secret. */
export class BrokerError extends Error {
  readonly code: BrokerErrorCode
  /** After how many milliseconds a repeat makes sense; absent where waiting does not help. */
  readonly retryAfterMs: number | undefined

  constructor(code: BrokerErrorCode, message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BrokerError'
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }
}

/** Whether `error` is a broker error, of that code if one is given. */
export function isBrokerError(error: unknown, code?: BrokerErrorCode): error is BrokerError {
  return error instanceof BrokerError && (code === undefined || error.code === code)
}

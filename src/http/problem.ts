import type { FastifyReply, FastifyRequest } from 'fastify'
import { BrokerError, type BrokerErrorCode } from '../domain/errors.ts'
import { CONSTANT_HEADERS } from './headers.ts'
import { invalidRequest } from './validation.ts'

/** The HTTP status of every error code. A new code does not compile without one. */
export const STATUS: Readonly<Record<BrokerErrorCode, number>> = {
  ERR_APP_MISMATCH: 409,
  ERR_APP_UNKNOWN: 409,
  ERR_BUSY: 503,
  ERR_CLIENT_CHANGED: 503,
  ERR_CONNECTION_NOT_FOUND: 404,
  ERR_DISCONNECTED: 410,
  ERR_FLOW_EXPIRED: 410,
  ERR_FORBIDDEN: 403,
  ERR_GRANT_BEING_REVOKED: 409,
  ERR_GRANT_REFUSED: 422,
  ERR_INTERNAL: 500,
  ERR_INVALID_REQUEST: 400,
  ERR_LINK_NOT_FOUND: 404,
  ERR_NOT_CONNECTED: 409,
  ERR_NOT_DURABLE: 503,
  ERR_QUARANTINED: 423,
  ERR_RATE_LIMITED: 429,
  ERR_RECONNECT_REQUIRED: 409,
  ERR_RECORD_TOO_NEW: 503,
  ERR_REFRESH_BUDGET: 429,
  ERR_ROUTE_NOT_FOUND: 404,
  ERR_SCOPES_MISSING: 422,
  ERR_SEALED_UNREADABLE: 500,
  ERR_STORE_UNAVAILABLE: 503,
  ERR_UNAUTHENTICATED: 401,
  ERR_UPSTREAM_UNAVAILABLE: 503,
  ERR_WRONG_DATA_CENTER: 422,
  ERR_WRONG_USER: 409
}

/** RFC 9457 with our stable `code` and the id of the request. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: BrokerErrorCode
  readonly request_id: string
}

/** Media type of every error body (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json'

/** The body of a problem. `status` differs from the code's own where HTTP has a narrower one (405, 408, 413, 415, 431). */
export function problemOf(error: BrokerError, requestId: string, status = STATUS[error.code]): Problem {
  const words = error.code.slice('ERR_'.length).toLowerCase().split('_')
  const title = words.join(' ')
  return {
    type: `urn:zoho-token-broker:problem:${words.join('-')}`,
    title: title.charAt(0).toUpperCase() + title.slice(1),
    status,
    detail: error.message,
    code: error.code,
    request_id: requestId
  }
}

/** Sends a problem with everything that belongs to it; safe where no hook has run. */
export function sendProblem(reply: FastifyReply, error: BrokerError, status = STATUS[error.code]): FastifyReply {
  if (error.retryAfterMs !== undefined) reply.header('retry-after', retryAfterSeconds(error.retryAfterMs))
  if (error.code === 'ERR_UNAUTHENTICATED') reply.header('www-authenticate', 'Bearer')
  // Bytes pass by the route's reply schemas, which know only the good answers, and get no charset added.
  return reply
    .headers(CONSTANT_HEADERS)
    .code(status)
    .type(PROBLEM_TYPE)
    .send(Buffer.from(JSON.stringify(problemOf(error, reply.request.id, status))))
}

/** Whole seconds, rounded up, at least 1: never an invitation to come too early. */
export function retryAfterSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}

/** Sends a refusal in the words of a listener; `status` where it is not the code's own. */
export type Refuse = (reply: FastifyReply, error: BrokerError, status?: number) => unknown

/** Reports a fault of ours: the cause goes to the log, the caller gets the request id alone. */
export type OnServerError = (error: unknown, requestId: string) => void

/** Turns whatever a route throws into a refusal. */
export function createErrorHandler(onServerError: OnServerError, refuse: Refuse) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    if (error instanceof BrokerError) {
      if (STATUS[error.code] === 500) onServerError(error, request.id)
      refuse(reply, error)
      return
    }
    const refusal = invalidRequest(error, request)
    if (refusal) {
      refuse(reply, refusal.error, refusal.status)
      return
    }
    onServerError(error, request.id)
    refuse(reply, new BrokerError('ERR_INTERNAL', 'The broker failed. Give its operator the request_id.'))
  }
}

import type { FastifyReply } from 'fastify'
import type { BrokerError } from '../../domain/errors.ts'
import type { Voice } from '../base-server.ts'
import { retryAfterSeconds, STATUS } from '../problem.ts'
import { refusalPage } from './pages.ts'
import { REFUSALS, type RefusalCode, refusalOf } from './refusal-messages.ts'

/** Beside what helmet sends: nothing keeps a page, and a page asks for nothing. */
const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=()'
}

/** To people: every answer is a page. */
export const PAGES: Voice = { headers: PAGE_HEADERS, refuse: sendErrorPage }

/** Sends a page. */
export function sendPage(reply: FastifyReply, page: string, status = 200): FastifyReply {
  return reply.code(status).type('text/html; charset=utf-8').send(page)
}

/** Sends the page of a refusal. */
export function sendRefusal(reply: FastifyReply, code: RefusalCode, status = REFUSALS[code].status): FastifyReply {
  return sendPage(reply, refusalPage(code, reply.request.id), status)
}

function sendErrorPage(reply: FastifyReply, error: BrokerError, status = STATUS[error.code]): FastifyReply {
  if (error.retryAfterMs !== undefined) reply.header('retry-after', retryAfterSeconds(error.retryAfterMs))
  const code = refusalOf(error.code, status)
  // HTTP has narrower statuses for a request (408, 413, 415); of any other error a page tells only its kind.
  return sendRefusal(reply, code, code === 'bad_request' ? status : REFUSALS[code].status)
}

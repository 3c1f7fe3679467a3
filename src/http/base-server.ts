import { randomUUID } from 'node:crypto'
import { type FastifyInstance, fastify } from 'fastify'
import { answerClientError } from './client-error.ts'
import { CONSTANT_HEADERS } from './headers.ts'
import { createErrorHandler, type OnServerError, type Refuse, sendProblem } from './problem.ts'

/** What every listener needs. */
export interface BaseDeps {
  readonly onServerError: OnServerError
  /** CIDRs whose X-Forwarded-* count; a hop count or `true` would let callers choose their address. */
  readonly trustProxy: readonly string[]
  /** How long a request may take to arrive. Default 10 000. */
  readonly requestTimeoutMs?: number
}

/** How a listener speaks. */
export interface Voice {
  /** On every answer that has reached a route or missed all of them. */
  readonly headers: Readonly<Record<string, string>>
  readonly refuse: Refuse
}

/** To programs: problems in JSON. */
const PROBLEMS: Voice = { headers: CONSTANT_HEADERS, refuse: sendProblem }

const REQUEST_TIMEOUT_MS = 10_000
const BODY_LIMIT_BYTES = 16 * 1024

/** Longer than load balancers keep an idle connection (usually 60 s), so that they never send into one just closed. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000

/** A server with our limits, headers and refusals, and no route yet. It logs nothing: URLs and bodies hold secrets. */
export function createServer(deps: BaseDeps, voice: Voice = PROBLEMS): FastifyInstance {
  const requestTimeout = deps.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
  const app = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    trustProxy: deps.trustProxy.length > 0 ? [...deps.trustProxy] : false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // Node looks for late requests only every 30 s by default, which would make the limit 40 s.
    http: { headersTimeout: requestTimeout, connectionsCheckingInterval: Math.min(1000, requestTimeout / 2) },
    exposeHeadRoutes: false,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    // What still arrives on a busy connection while we drain is answered properly, with `connection: close`.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // Ids are judged by their schema, behind authentication; Node's 16 KiB for all headers bound them before.
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: false, maxParamLength: BODY_LIMIT_BYTES },
    ajv: {
      customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, keywords: ['x-integer'] }
    },
    // No hook has run by then, so no page has its headers yet: a problem brings its own.
    frameworkErrors: createErrorHandler(deps.onServerError, sendProblem),
    clientErrorHandler: answerClientError
  })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(voice.headers)
    done()
  })
  app.setErrorHandler(createErrorHandler(deps.onServerError, voice.refuse))
  return app
}

import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { BrokerError } from '../domain/errors.ts'

/** How many requests pass, and where they are counted. */
export interface LimitDeps {
  readonly perMinute: number
  /** A client of its own that fails fast; undefined counts in this process alone. */
  readonly limiter: Redis | undefined
  /** The prefix of all our keys in Redis. */
  readonly prefix: string
}

/** Whose requests are counted together, and under which name. */
export interface LimitedBy {
  /** Names the policy in the `RateLimit` headers. */
  readonly policy: string
  /** Stands between the prefix and the key in Redis. */
  readonly nameSpace: string
  /** Becomes part of a key in Redis: never a secret. */
  readonly keyOf: (request: FastifyRequest) => string
}

const WINDOW_MS = 60_000

/** Counts requests per key over all routes of `scope`, across processes. Fails closed: without its store nothing passes. */
export async function limitRequests(
  scope: FastifyInstance,
  { perMinute, limiter, prefix }: LimitDeps,
  { policy, nameSpace, keyOf }: LimitedBy
): Promise<void> {
  await scope.register(rateLimit, {
    global: false,
    max: perMinute,
    timeWindow: WINDOW_MS,
    keyGenerator: keyOf,
    ...(limiter && { redis: limiter, nameSpace: `${prefix}:${nameSpace}:` })
  })
  // Asked by hand, because the plugin's own hook has other headers and would let the store's error text out.
  const count = scope.createRateLimit()

  scope.addHook('onRequest', async (request, reply) => {
    const counted = await count(request).catch((cause: unknown) => {
      throw new BrokerError('ERR_STORE_UNAVAILABLE', 'The store does not answer; repeat a little later.', {
        retryAfterMs: 1000,
        cause
      })
    })
    if (counted.isAllowed) return
    reply.headers({
      'ratelimit-policy': `"${policy}";q=${perMinute};w=${WINDOW_MS / 1000}`,
      ratelimit: `"${policy}";r=${counted.remaining};t=${Math.max(0, counted.ttlInSeconds)}`
    })
    if (counted.isExceeded) {
      throw new BrokerError(
        'ERR_RATE_LIMITED',
        `More than ${perMinute} ${policy} requests in a minute; wait, then repeat.`,
        { retryAfterMs: counted.ttl }
      )
    }
  })
}

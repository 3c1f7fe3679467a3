import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { BrokerError } from '../domain/errors.ts'
import { consumerOf } from './consumer-auth.ts'

/** What the limiter of the admin routes needs. */
export interface AdminLimitDeps {
  readonly perMinute: number
  /** A client of its own that fails fast; undefined counts in this process alone. */
  readonly limiter: Redis | undefined
  /** The prefix of all our keys in Redis. */
  readonly prefix: string
}

const WINDOW_MS = 60_000

/**
 * Counts requests per consumer over all routes of `scope`, across processes. Fails closed: without its store nothing
 * passes. Stands behind `requireConsumer`, so a stranger mints no counters and no API key becomes part of a key in Redis.
 */
export async function limitAdmin(
  scope: FastifyInstance,
  { perMinute, limiter, prefix }: AdminLimitDeps
): Promise<void> {
  await scope.register(rateLimit, {
    global: false,
    max: perMinute,
    timeWindow: WINDOW_MS,
    keyGenerator: (request) => consumerOf(request).name,
    ...(limiter && { redis: limiter, nameSpace: `${prefix}:limit:` })
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
      'ratelimit-policy': `"admin";q=${perMinute};w=${WINDOW_MS / 1000}`,
      ratelimit: `"admin";r=${counted.remaining};t=${Math.max(0, counted.ttlInSeconds)}`
    })
    if (counted.isExceeded) {
      throw new BrokerError(
        'ERR_RATE_LIMITED',
        `More than ${perMinute} admin requests in a minute; wait, then repeat.`,
        {
          retryAfterMs: counted.ttl
        }
      )
    }
  })
}

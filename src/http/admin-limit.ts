import type { FastifyInstance } from 'fastify'
import { consumerOf } from './consumer-auth.ts'
import { type LimitDeps, limitRequests } from './request-limit.ts'

/** Per consumer. Stands behind `requireConsumer`, so a stranger mints no counters and no API key becomes part of a key in Redis. */
export function limitAdmin(scope: FastifyInstance, deps: LimitDeps): Promise<void> {
  return limitRequests(scope, deps, {
    policy: 'admin',
    nameSpace: 'limit',
    keyOf: (request) => consumerOf(request).name
  })
}

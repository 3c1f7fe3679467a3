import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../domain/errors.ts'
import type { Consumer } from '../domain/policy.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null until it is verified. */
    consumer: Consumer | null
  }
}

/** Consumers by `sha256:<hex of the whole key>`. A `Map` fits; so does anything that follows a reload. */
export type ConsumerLookUp = Pick<ReadonlyMap<string, Consumer>, 'get'>

const SCHEME = 'bearer '
const MAX_KEY_LENGTH = 512

/** Lets only known consumers into `scope`, before any body is read or schema asked. */
export function requireConsumer(scope: FastifyInstance, consumers: ConsumerLookUp): void {
  scope.decorateRequest('consumer', null)
  scope.addHook('onRequest', (request, _reply, done) => {
    const consumer = findConsumer(consumers, request.headers.authorization)
    if (consumer) {
      request.consumer = consumer
      done()
    } else {
      done(
        new BrokerError(
          'ERR_UNAUTHENTICATED',
          'Send a known API key as "Authorization: Bearer <key>"; this is not one.'
        )
      )
    }
  })
}

/** The verified consumer of a request inside a scope of `requireConsumer`. */
export function consumerOf(request: FastifyRequest): Consumer {
  if (!request.consumer) throw new Error('the route stands outside the scope that verifies consumers')
  return request.consumer
}

// Finding the hash is the comparison: whoever can aim at a SHA-256 has the key, so its timing tells nothing.
function findConsumer(consumers: ConsumerLookUp, header: string | undefined): Consumer | undefined {
  if (header === undefined || header.length > SCHEME.length + MAX_KEY_LENGTH) return undefined
  if (header.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return undefined
  return consumers.get(`sha256:${hash('sha256', header.slice(SCHEME.length))}`)
}

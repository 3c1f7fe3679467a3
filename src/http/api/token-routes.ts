import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Broker, IssuedToken } from '../../domain/broker.ts'
import type { DataCenter } from '../../domain/data-center.ts'
import { BrokerError } from '../../domain/errors.ts'
import type { ConnectionRef } from '../../domain/ids.ts'
import type { Consumer } from '../../domain/policy.ts'
import type { Clock, Fingerprint, HandOut } from '../../domain/ports.ts'
import { acceptJsonOnly, acceptNoBody } from '../body-parsers.ts'
import { consumerOf } from '../consumer-auth.ts'
import { tokenReply } from '../replies.ts'
import { ConnectionParams, NoQuery, RejectedBody, TokenQuery, TokenReply, type TokenReplyBody } from '../schemas.ts'
import { createTokenBuckets, type TokenLimit } from '../token-bucket.ts'
import { REFRESHING } from './problem-codes.ts'

/** What the token routes need. */
export interface TokenRouteDeps {
  readonly broker: Broker
  readonly dataCenters: ReadonlyMap<string, DataCenter>
  readonly clock: Clock
  readonly fingerprint: Fingerprint
  /** Gets every hand-out and every refusal that names a connection. If it throws, no token leaves. */
  readonly recordHandOut: (handOut: HandOut) => void
  readonly tokenLimit: TokenLimit
}

const PATH = '/v1/tenants/:tenant_id/connections/:connection_id/token'

/** The hot path: no plug-in, no log line, one allowance in this process. */
export async function tokenRoutes(scope: FastifyInstance, deps: TokenRouteDeps): Promise<void> {
  const handOut = createHandOut(deps)
  await scope.register(async (bodyless) => {
    acceptNoBody(bodyless)
    issueRoute(bodyless, deps, handOut)
  })
  await scope.register(async (json) => {
    acceptJsonOnly(json)
    rejectedRoute(json, deps, handOut)
  })
}

function issueRoute(scope: FastifyInstance, { broker }: TokenRouteDeps, handOut: HandOutOf): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    PATH,
    {
      schema: {
        operationId: 'issueToken',
        tags: ['tokens'],
        summary: 'Issue an access token',
        description:
          'Hands out the stored access token while it lives long enough, else refreshes it first, once however many ask. Takes no body.',
        params: ConnectionParams,
        querystring: TokenQuery,
        response: { 200: TokenReply }
      },
      config: { problems: REFRESHING }
    },
    (request, reply) => {
      const consumer = consumerOf(request)
      const ref = refOf(request.params)
      const wish = request.query.min_ttl_seconds
      return handOut(reply, consumer, ref, () =>
        broker.issue({ consumer, ref, ...(wish !== undefined && { minTtlMs: Number(wish) * 1000 }) })
      )
    }
  )
}

function rejectedRoute(scope: FastifyInstance, { broker }: TokenRouteDeps, handOut: HandOutOf): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    `${PATH}/rejected`,
    {
      schema: {
        operationId: 'reportRejectedToken',
        tags: ['tokens'],
        summary: 'Report a token that Zoho refused',
        description:
          'Answers with the newer token if there is one, without a call to Zoho; else with the token of one refresh within the budget.',
        params: ConnectionParams,
        querystring: NoQuery,
        body: RejectedBody,
        response: { 200: TokenReply }
      },
      config: { problems: REFRESHING }
    },
    (request, reply) => {
      const consumer = consumerOf(request)
      const ref = refOf(request.params)
      const { generation } = request.body
      return handOut(reply, consumer, ref, () => broker.rejected({ consumer, ref, generation }))
    }
  )
}

type HandOutOf = (
  reply: FastifyReply,
  consumer: Consumer,
  ref: ConnectionRef,
  get: () => Promise<IssuedToken>
) => Promise<TokenReplyBody>

/** One allowance, one answer, one line of record, whatever the outcome. */
function createHandOut({ dataCenters, clock, fingerprint, recordHandOut, tokenLimit }: TokenRouteDeps): HandOutOf {
  const takeFrom = createTokenBuckets(tokenLimit, () => clock.now())
  const policy = `"token";q=${tokenLimit.burst};w=${Math.ceil(tokenLimit.burst / tokenLimit.perSecond)}`

  return (reply, consumer, ref, get) =>
    allowed(reply, consumer, get)
      .then((issued) => {
        const body = tokenReply(issued, dataCenters, clock.now())
        recordHandOut({
          consumer: consumer.name,
          ref,
          outcome: 'issued',
          generation: issued.generation,
          fingerprint: fingerprint(issued.accessToken)
        })
        return body
      })
      .catch((error: unknown) => {
        recordHandOut({
          consumer: consumer.name,
          ref,
          outcome: error instanceof BrokerError ? error.code : 'ERR_INTERNAL'
        })
        throw error
      })

  function allowed(reply: FastifyReply, consumer: Consumer, get: () => Promise<IssuedToken>): Promise<IssuedToken> {
    const taken = takeFrom(consumer.name)
    reply.headers({
      'ratelimit-policy': policy,
      ratelimit: `"token";r=${taken.remaining};t=${Math.ceil(taken.fullInMs / 1000)}`
    })
    if (taken.allowed) return get()
    return Promise.reject(
      new BrokerError('ERR_RATE_LIMITED', 'This consumer asks for tokens too fast; wait, then repeat.', {
        retryAfterMs: taken.retryAfterMs
      })
    )
  }
}

function refOf(params: { tenant_id: string; connection_id: string }): ConnectionRef {
  return { tenant: params.tenant_id, connection: params.connection_id }
}

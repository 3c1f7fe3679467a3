import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { GrantAdmin } from '../../domain/connect-broker.ts'
import { acceptJsonOrNothing, acceptNoBody } from '../body-parsers.ts'
import { DisconnectQuery, QuarantineBody } from '../connect-schemas.ts'
import { consumerOf } from '../consumer-auth.ts'
import { connectionView } from '../replies.ts'
import { ConnectionParams, ConnectionView, described, NoQuery } from '../schemas.ts'
import { DISCONNECTING, QUARANTINING } from './problem-codes.ts'

const ONE = '/v1/tenants/:tenant_id/connections/:connection_id'
const QUARANTINE = `${ONE}/quarantine`

/** What admins do to stop a connection: for a while, or for good. */
export async function lifeRoutes(
  scope: FastifyInstance,
  { grantAdmin }: { readonly grantAdmin: GrantAdmin }
): Promise<void> {
  await scope.register(async (json) => {
    acceptJsonOrNothing(json)
    quarantineRoute(json, grantAdmin)
  })
  await scope.register(async (bodyless) => {
    acceptNoBody(bodyless)
    liftRoute(bodyless, grantAdmin)
    disconnectRoute(bodyless, grantAdmin)
  })
}

function quarantineRoute(scope: FastifyInstance, grantAdmin: GrantAdmin): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    QUARANTINE,
    {
      schema: {
        operationId: 'quarantineConnection',
        tags: ['connections'],
        summary: 'Stop the hand-outs of a connection',
        description: 'Tokens are refused with 423 until it is lifted; the grant is kept. The body may be left out.',
        params: ConnectionParams,
        querystring: NoQuery,
        body: QuarantineBody,
        response: { 200: ConnectionView }
      },
      config: { problems: QUARANTINING }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      const { reason } = request.body
      const ref = { tenant, connection }
      return connectionView(
        await grantAdmin.quarantine({ consumer: consumerOf(request), ref, ...(reason !== undefined && { reason }) })
      )
    }
  )
}

function liftRoute(scope: FastifyInstance, grantAdmin: GrantAdmin): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().delete(
    QUARANTINE,
    {
      schema: {
        operationId: 'liftQuarantine',
        tags: ['connections'],
        summary: 'Resume the hand-outs of a connection',
        description: 'Lifts a quarantine. Takes no body.',
        params: ConnectionParams,
        querystring: NoQuery,
        response: { 200: ConnectionView }
      },
      config: { problems: QUARANTINING }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      return connectionView(
        await grantAdmin.liftQuarantine({ consumer: consumerOf(request), ref: { tenant, connection } })
      )
    }
  )
}

function disconnectRoute(scope: FastifyInstance, grantAdmin: GrantAdmin): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().delete(
    ONE,
    {
      schema: {
        operationId: 'disconnectConnection',
        tags: ['connections'],
        summary: 'Disconnect for good',
        description:
          'No token is handed out from the moment this is answered; the revoke at Zoho follows. Repeating changes nothing. Takes no body.',
        params: ConnectionParams,
        querystring: DisconnectQuery,
        response: { 202: described(ConnectionView, 'Nothing is handed out any more.') }
      },
      config: { problems: DISCONNECTING }
    },
    async (request, reply) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      const ended = await grantAdmin.disconnect({
        consumer: consumerOf(request),
        ref: { tenant, connection },
        purge: request.query.purge === 'true'
      })
      return reply.code(202).send(connectionView(ended))
    }
  )
}

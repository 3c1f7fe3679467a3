import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../domain/broker.ts'
import { BrokerError } from '../../domain/errors.ts'
import { Secret } from '../../domain/secret.ts'
import { acceptJsonOnly, acceptNoBody } from '../body-parsers.ts'
import { consumerOf } from '../consumer-auth.ts'
import { connectionView } from '../replies.ts'
import {
  ConnectionList,
  ConnectionParams,
  ConnectionView,
  described,
  ImportBody,
  ListQuery,
  NoQuery,
  TenantParams
} from '../schemas.ts'
import { COMMON, IMPORTING, ONE_CONNECTION, REFRESHING } from './problem-codes.ts'

const LIST = '/v1/tenants/:tenant_id/connections'
const ONE = `${LIST}/:connection_id`
const DEFAULT_LIMIT = 50

/** What admins do with connections: read, list, import, refresh. */
export async function connectionRoutes(scope: FastifyInstance, { broker }: { readonly broker: Broker }): Promise<void> {
  listRoute(scope, broker)
  readRoute(scope, broker)
  await scope.register(async (json) => {
    acceptJsonOnly(json)
    importRoute(json, broker)
  })
  await scope.register(async (bodyless) => {
    acceptNoBody(bodyless)
    refreshRoute(bodyless, broker)
  })
}

function listRoute(scope: FastifyInstance, broker: Broker): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().get(
    LIST,
    {
      schema: {
        operationId: 'listConnections',
        tags: ['connections'],
        summary: 'List the connections of a tenant',
        description: 'Shows what the policy of the consumer covers, in order of id. A page may be short.',
        params: TenantParams,
        querystring: ListQuery,
        response: { 200: ConnectionList }
      },
      config: { problems: COMMON }
    },
    async (request) => {
      const { cursor, limit } = request.query
      const page = await broker.list({
        consumer: consumerOf(request),
        tenant: request.params.tenant_id,
        limit: limit === undefined ? DEFAULT_LIMIT : Number(limit),
        ...(cursor !== undefined && { after: decodeCursor(cursor) })
      })
      return {
        connections: page.items.map(connectionView),
        ...(page.next !== undefined && { next_cursor: Buffer.from(page.next).toString('base64url') })
      }
    }
  )
}

function readRoute(scope: FastifyInstance, broker: Broker): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().get(
    ONE,
    {
      schema: {
        operationId: 'readConnection',
        tags: ['connections'],
        summary: 'Read a connection',
        description: 'Status, scopes and the last error of one connection; never a token.',
        params: ConnectionParams,
        querystring: NoQuery,
        response: { 200: ConnectionView }
      },
      config: { problems: ONE_CONNECTION }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      return connectionView(await broker.read({ consumer: consumerOf(request), ref: { tenant, connection } }))
    }
  )
}

function importRoute(scope: FastifyInstance, broker: Broker): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().put(
    ONE,
    {
      schema: {
        operationId: 'importGrant',
        tags: ['connections'],
        summary: 'Import a refresh token',
        description:
          'Verifies the refresh token by a real refresh, then stores it. The same token again changes nothing.',
        params: ConnectionParams,
        querystring: NoQuery,
        body: ImportBody,
        response: {
          200: described(ConnectionView, 'The connection was there before.'),
          201: described(ConnectionView, 'The connection is new.')
        }
      },
      config: { problems: IMPORTING }
    },
    async (request, reply) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      const imported = await broker.importGrant({
        consumer: consumerOf(request),
        ref: { tenant, connection },
        app: request.body.app,
        dataCenter: request.body.data_center,
        refreshToken: new Secret(request.body.refresh_token)
      })
      return reply.code(imported.created ? 201 : 200).send(connectionView(imported.connection))
    }
  )
}

function refreshRoute(scope: FastifyInstance, broker: Broker): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    `${ONE}/refresh`,
    {
      schema: {
        operationId: 'refreshConnection',
        tags: ['connections'],
        summary: 'Refresh a connection now',
        description: "One refresh at Zoho, paid from the admin's share of the budget. Takes no body.",
        params: ConnectionParams,
        querystring: NoQuery,
        response: { 200: ConnectionView }
      },
      config: { problems: REFRESHING }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      return connectionView(await broker.forceRefresh({ consumer: consumerOf(request), ref: { tenant, connection } }))
    }
  )
}

// Opaque to callers, so that what it holds may change. It goes to the store, so it holds visible ASCII only.
function decodeCursor(cursor: string): string {
  const after = Buffer.from(cursor, 'base64url').toString('utf8')
  if (!/^[\x21-\x7e]+$/.test(after)) {
    throw new BrokerError(
      'ERR_INVALID_REQUEST',
      'Not acceptable: "cursor" in the query. Allowed: the next_cursor of the page before.'
    )
  }
  return after
}

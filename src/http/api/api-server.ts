import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isBrokerError } from '../../domain/errors.ts'
import { type ConnectionRef, isId } from '../../domain/ids.ts'
import { limitAdmin } from '../admin-limit.ts'
import { type ConsumerLookUp, requireConsumer } from '../consumer-auth.ts'
import { describeRoutes, openapiRoute } from '../openapi.ts'
import type { LimitDeps } from '../request-limit.ts'
import { type CatalogueDeps, catalogueRoutes } from './catalogue-routes.ts'
import { type ConnectRouteDeps, connectRoutes } from './connect-routes.ts'
import { connectionRoutes } from './connection-routes.ts'
import { lifeRoutes } from './life-routes.ts'
import { type TokenRouteDeps, tokenRoutes } from './token-routes.ts'

/** What the api listener needs. */
export interface ApiDeps extends TokenRouteDeps, CatalogueDeps, ConnectRouteDeps {
  readonly consumers: ConsumerLookUp
  readonly adminLimit: LimitDeps
  /** Gets what a known consumer tried on an admin route and may not do. */
  readonly recordRefusal: (refusal: Refusal) => void
}

/** One refusal by policy, for the audit. */
export interface Refusal {
  readonly consumer: string
  readonly operation: string
  readonly code: string
  readonly ref?: ConnectionRef
}

/** Adds everything that services and admins may ask to `app`. */
export async function addApi(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  await describeRoutes(app)
  await app.register(async (scope) => {
    requireConsumer(scope, deps.consumers)
    await scope.register(tokenRoutes, deps)
    await scope.register(async (admin) => {
      await limitAdmin(admin, deps.adminLimit)
      recordRefusals(admin, deps.recordRefusal)
      await admin.register(connectionRoutes, deps)
      await admin.register(connectRoutes, deps)
      await admin.register(lifeRoutes, deps)
      await admin.register(catalogueRoutes, deps)
    })
  })
  openapiRoute(app)
}

function recordRefusals(admin: FastifyInstance, record: ApiDeps['recordRefusal']): void {
  admin.addHook('onError', async (request, _reply, error) => {
    if (!request.consumer || !isBrokerError(error, 'ERR_FORBIDDEN')) return
    const ref = refOf(request)
    const operation = request.routeOptions.schema?.operationId ?? request.method
    record({ consumer: request.consumer.name, operation, code: error.code, ...(ref && { ref }) })
  })
}

function refOf({ params }: FastifyRequest): ConnectionRef | undefined {
  const { tenant_id: tenant = '', connection_id: connection = '' } = params as Partial<Record<string, string>>
  return isId(tenant) && isId(connection) ? { tenant, connection } : undefined
}

import type { FastifyInstance } from 'fastify'
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
}

/** Adds everything that services and admins may ask to `app`. */
export async function addApi(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  await describeRoutes(app)
  await app.register(async (scope) => {
    requireConsumer(scope, deps.consumers)
    await scope.register(tokenRoutes, deps)
    await scope.register(async (admin) => {
      await limitAdmin(admin, deps.adminLimit)
      await admin.register(connectionRoutes, deps)
      await admin.register(connectRoutes, deps)
      await admin.register(lifeRoutes, deps)
      await admin.register(catalogueRoutes, deps)
    })
  })
  openapiRoute(app)
}

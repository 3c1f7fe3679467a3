import type { FastifyInstance } from 'fastify'
import { type AdminLimitDeps, limitAdmin } from '../admin-limit.ts'
import { type ConsumerLookUp, requireConsumer } from '../consumer-auth.ts'
import { describeRoutes, openapiRoute } from '../openapi.ts'
import { type CatalogueDeps, catalogueRoutes } from './catalogue-routes.ts'
import { connectionRoutes } from './connection-routes.ts'
import { type TokenRouteDeps, tokenRoutes } from './token-routes.ts'

/** What the api listener needs. */
export interface ApiDeps extends TokenRouteDeps, CatalogueDeps {
  readonly consumers: ConsumerLookUp
  readonly adminLimit: AdminLimitDeps
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
      await admin.register(catalogueRoutes, deps)
    })
  })
  openapiRoute(app)
}

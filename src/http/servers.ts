import type { FastifyInstance } from 'fastify'
import { type ApiDeps, addApi } from './api/api-server.ts'
import { type BaseDeps, createServer } from './base-server.ts'
import { addHealthRoutes, type HealthDeps } from './management/health-routes.ts'

/** All that the HTTP layer takes from the composition root. */
export interface HttpDeps extends BaseDeps, ApiDeps, HealthDeps {}

/** The three listeners, not yet listening: only `public` is for browsers and Zoho. */
export interface HttpServers {
  readonly public: FastifyInstance
  readonly api: FastifyInstance
  readonly management: FastifyInstance
}

/** Makes the three servers with their routes. Who calls it listens and closes. */
export async function createHttp(deps: HttpDeps): Promise<HttpServers> {
  const api = createServer(deps)
  await addApi(api, deps)
  const management = createServer(deps)
  addHealthRoutes(management, deps)
  return { public: createServer(deps), api, management }
}

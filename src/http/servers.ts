import type { FastifyInstance } from 'fastify'
import { type ApiDeps, addApi } from './api/api-server.ts'
import { type BaseDeps, createServer } from './base-server.ts'
import { addHealthRoutes, type HealthDeps } from './management/health-routes.ts'
import { PAGES } from './public/page-reply.ts'
import { addPages, type PublicDeps } from './public/public-server.ts'
import { answerUnknownRoutes } from './unknown-route.ts'

/** All that the HTTP layer takes from the composition root. */
export interface HttpDeps extends BaseDeps, ApiDeps, HealthDeps, PublicDeps {}

/** The three listeners, not yet listening: only `public` is for browsers and Zoho. */
export interface HttpServers {
  readonly public: FastifyInstance
  readonly api: FastifyInstance
  readonly management: FastifyInstance
}

/** Makes the three servers with their routes. Who calls it listens and closes. */
export async function createHttp(deps: HttpDeps): Promise<HttpServers> {
  const pages = createServer(deps, PAGES)
  await addPages(pages, deps)
  const api = createServer(deps)
  answerUnknownRoutes(api)
  await addApi(api, deps)
  const management = createServer(deps)
  answerUnknownRoutes(management)
  addHealthRoutes(management, deps)
  return { public: pages, api, management }
}

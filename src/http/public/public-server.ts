import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import type { ConnectPages } from '../../domain/connect-broker.ts'
import type { LimitDeps } from '../request-limit.ts'
import { createBrowserCookie } from './browser-cookie.ts'
import { callbackRoute } from './callback-route.ts'
import { linkRoute, resultRoute, startRoute } from './connect-routes.ts'
import { sendRefusal } from './page-reply.ts'
import { limitPublic } from './public-limit.ts'
import { pageHeaders } from './security-headers.ts'

/** What the public listener needs. */
export interface PublicDeps {
  readonly connectPages: ConnectPages
  /** The origin under which browsers reach it; nothing is ever derived from `Host`. */
  readonly publicUrl: string
  readonly publicLimit: LimitDeps
}

const FORM_LIMIT_BYTES = 1024

/** Adds everything that browsers may ask to `app`. */
export async function addPages(app: FastifyInstance, deps: PublicDeps): Promise<void> {
  // First, so that the page of a refused request has its headers too.
  await app.register(helmet, pageHeaders(deps.publicUrl))
  await limitPublic(app, deps.publicLimit)
  acceptEmptyForms(app)
  app.setNotFoundHandler((_request, reply) => sendRefusal(reply, 'not_found'))

  const { connectPages, publicUrl } = deps
  const routes = { connectPages, publicUrl, cookie: createBrowserCookie(publicUrl) }
  linkRoute(app, routes)
  startRoute(app, routes)
  resultRoute(app, routes)
  callbackRoute(app, routes)
}

/** Our one form has no fields, but browsers post it as a form. What is in it counts for nothing. */
function acceptEmptyForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: FORM_LIMIT_BYTES },
    (_request, _text, done) => done(null, undefined)
  )
}

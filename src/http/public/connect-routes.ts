import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ConnectPages } from '../../domain/connect-broker.ts'
import type { BrowserCookie } from './browser-cookie.ts'
import { sendPage, sendRefusal } from './page-reply.ts'
import { linkPage, resultPage } from './pages.ts'
import { linkPageHeaders } from './security-headers.ts'

/** What the pages of a link need. */
export interface ConnectRouteDeps {
  readonly connectPages: ConnectPages
  readonly publicUrl: string
  readonly cookie: BrowserCookie
}

const LINK = '/connect/:token'
const LinkParams = Type.Object({ token: Type.String({ pattern: '^[A-Za-z0-9_-]{1,128}$' }) })
const ResultParams = Type.Object({ flowId: Type.String({ pattern: '^[0-9a-f]{32}$' }) })

/** The page behind a link. It changes nothing, so whatever looks at links before people do may look. */
export function linkRoute(app: FastifyInstance, { connectPages, publicUrl }: ConnectRouteDeps): void {
  const { host, origin } = new URL(publicUrl)
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .get(LINK, { schema: { params: LinkParams }, attachValidation: true }, async (request, reply) => {
      if (request.validationError) return sendRefusal(reply, 'link_unknown')
      const { token } = request.params
      const link = await connectPages.look(token)
      if ('refused' in link) return sendRefusal(reply, link.refused)
      reply.helmet(linkPageHeaders([origin, ...(await connectPages.formTargets(token))]))
      return sendPage(reply, linkPage(link.page, host))
    })
}

/** The button of the link page: off to Zoho. */
export function startRoute(app: FastifyInstance, { connectPages, publicUrl, cookie }: ConnectRouteDeps): void {
  const { origin } = new URL(publicUrl)
  app.withTypeProvider<TypeBoxTypeProvider>().post(
    LINK,
    {
      schema: { params: LinkParams },
      attachValidation: true,
      onRequest: async (request, reply) => {
        if (!isFromPage(request, origin)) return sendRefusal(reply, 'foreign_origin')
      }
    },
    async (request, reply) => {
      if (request.validationError) return sendRefusal(reply, 'link_unknown')
      const cookieHash = cookie.renew(request, reply)
      const started = await connectPages.start({ linkToken: request.params.token, cookieHash })
      if ('refused' in started) return sendRefusal(reply, started.refused)
      return reply.redirect(started.url, 303)
    }
  )
}

/** How a flow came out. Its address is unguessable and tells no secret. */
export function resultRoute(app: FastifyInstance, { connectPages }: ConnectRouteDeps): void {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .get(
      '/connect/result/:flowId',
      { schema: { params: ResultParams }, attachValidation: true },
      async (request, reply) => {
        if (request.validationError) return sendRefusal(reply, 'flow_unknown')
        const { flowId } = request.params
        const outcome = await connectPages.result(flowId)
        return outcome ? sendPage(reply, resultPage(flowId, outcome)) : sendRefusal(reply, 'flow_unknown')
      }
    )
}

/** Whether our own page sent the form. Browsers say so in `Origin`, or without one in `Sec-Fetch-Site`. */
function isFromPage({ headers }: FastifyRequest, origin: string): boolean {
  return headers.origin === undefined ? headers['sec-fetch-site'] === 'same-origin' : headers.origin === origin
}

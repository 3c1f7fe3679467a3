import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Secret } from '../../domain/secret.ts'
import type { ConnectRouteDeps } from './connect-routes.ts'
import { sendRefusal } from './page-reply.ts'

/** A parameter that is given twice arrives as an array and is no string. Zoho may add others; they count for nothing. */
const CallbackQuery = Type.Object(
  {
    state: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
    code: Type.Optional(Type.String({ pattern: '^[\\x21-\\x7e]{1,2048}$' })),
    error: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    location: Type.Optional(Type.String({ maxLength: 64 })),
    'accounts-server': Type.Optional(Type.String({ maxLength: 256 }))
  },
  { anyOf: [{ required: ['code'] }, { required: ['error'] }] }
)

/** Where Zoho sends the browser back to. Answers with a clean address at once, so that code and state stay in none. */
export function callbackRoute(app: FastifyInstance, { connectPages, cookie }: ConnectRouteDeps): void {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .get(
      '/oauth/callback',
      { schema: { querystring: CallbackQuery }, attachValidation: true },
      async (request, reply) => {
        if (request.validationError) return sendRefusal(reply, 'callback_invalid')
        const { state, code, error, location, 'accounts-server': accountsServer } = request.query
        const outcome = await connectPages.callback({
          state,
          cookieHash: cookie.hashOf(request),
          // A code beside an error is not one to redeem.
          ...(error === undefined ? code !== undefined && { code: new Secret(code) } : { error }),
          ...(location !== undefined && { location }),
          ...(accountsServer !== undefined && { accountsServer })
        })
        if (outcome.kind === 'refused') return sendRefusal(reply, outcome.why)
        const { flowId, result, returnUrl } = outcome
        const target =
          returnUrl === undefined
            ? `/connect/result/${flowId}`
            : withQuery(returnUrl, `connect_flow=${flowId}&result=${result}`)
        return reply.redirect(target, 303)
      }
    )
}

/** Adds to the query and leaves what is there as it was registered. */
function withQuery(address: string, added: string): string {
  const url = new URL(address)
  url.search = url.search === '' ? added : `${url.search}&${added}`
  return url.href
}

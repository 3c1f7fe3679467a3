import { fastify } from 'fastify'

/** The yardstick: a bare Fastify route that answers a static object as large as a token reply. */
const app = fastify()
const member = { type: 'string' }
app.post(
  '/token',
  {
    schema: {
      response: {
        200: { type: 'object', properties: { access_token: member, padding: member, expires_in: { type: 'integer' } } }
      }
    }
  },
  (_request, reply) => reply.send({ access_token: 'x'.repeat(70), padding: 'y'.repeat(400), expires_in: 3600 })
)
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'string' }, (_request, _body, done) => done(null))
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
process.on('SIGTERM', () => process.exit(0))

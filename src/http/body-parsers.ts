import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../domain/errors.ts'

/** In `scope` a body is JSON or refused. The parser's own message quotes the body, which may hold a secret: ours does not. */
export function acceptJsonOnly(scope: FastifyInstance): void {
  acceptJson(scope, false)
}

/** As `acceptJsonOnly`, for bodies without a required member: none at all counts as `{}`. */
export function acceptJsonOrNothing(scope: FastifyInstance): void {
  acceptJson(scope, true)
  scope.addHook('preValidation', (request, _reply, done) => {
    // Without a content type nothing was parsed.
    if (request.body === undefined) request.body = {}
    done()
  })
}

function acceptJson(scope: FastifyInstance, orNothing: boolean): void {
  const parse = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (orNothing && text.trim() === '') {
      done(null, {})
      return
    }
    parse(request, text, (error, value) => {
      if (error) done(new BrokerError('ERR_INVALID_REQUEST', 'The body is not a valid JSON object.'))
      else done(null, value)
    })
  })
}

const NOTHING: readonly string[] = ['', '{}']

/** In `scope` there is nothing to send: an empty body or `{}` passes whatever its content type, for clients that cannot help it. */
export function acceptNoBody(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<string>('*', { parseAs: 'string' }, (_request, text, done) => {
    if (NOTHING.includes(text.trim())) done(null, undefined)
    else done(new BrokerError('ERR_INVALID_REQUEST', 'This route takes no body; leave it empty.'))
  })
}

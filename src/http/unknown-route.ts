import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../domain/errors.ts'
import { sendProblem } from './problem.ts'

/** Answers what no route takes: 405 with `allow` where the path exists for another method, else 404. Call it before any route is added. */
export function answerUnknownRoutes(app: FastifyInstance): void {
  const methods = new Map<string, { readonly path: RegExp; readonly allowed: Set<string> }>()

  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? { path: pathPattern(url), allowed: new Set() }
    for (const name of [method].flat()) known.allowed.add(name)
    methods.set(url, known)
  })

  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? ''
    const allowed = [...methods.values()]
      .filter((known) => known.path.test(path))
      .flatMap((known) => [...known.allowed])
    if (allowed.length === 0) {
      return sendProblem(reply, new BrokerError('ERR_ROUTE_NOT_FOUND', 'There is no such route; see openapi.yaml.'))
    }
    reply.header('allow', allowed.join(', '))
    return sendProblem(
      reply,
      new BrokerError('ERR_ROUTE_NOT_FOUND', `This route takes ${allowed.join(', ')} only.`),
      405
    )
  })
}

// Our routes hold literal segments and `:name` segments only.
function pathPattern(url: string): RegExp {
  return new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:[a-z_]+/g, '[^/]+')}$`)
}

import type { FastifyInstance } from 'fastify'

/** Whether this process wants traffic, and why (not). */
export interface Readiness {
  readonly ready: boolean
  /** One short word or sentence per check, such as `redis: ok`. */
  readonly checks: Readonly<Record<string, string>>
}

/** What the management listener needs. */
export interface HealthDeps {
  readonly ready: () => Readiness
  /** All metrics in the text format of Prometheus. */
  readonly metrics: () => Promise<string>
}

/** For the platform: alive, ready, metrics. Liveness asks nobody else, so an outage elsewhere restarts nothing. */
export function addHealthRoutes(app: FastifyInstance, { ready, metrics }: HealthDeps): void {
  app.get('/livez', (_request, reply) => {
    reply.send({ status: 'ok' })
  })

  app.get('/readyz', (_request, reply) => {
    const readiness = ready()
    reply
      .code(readiness.ready ? 200 : 503)
      .send({ status: readiness.ready ? 'ready' : 'not ready', checks: readiness.checks })
  })

  app.get('/metrics', async (_request, reply) => {
    const text = await metrics()
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text)
  })
}

import type { FastifyInstance } from 'fastify'

const LOOK_AGAIN_MS = 20

/** Takes no new connection, answers what is under way, then closes. Node closes idle connections only once, so we look again. */
export async function drain(app: FastifyInstance): Promise<void> {
  const again = setInterval(() => app.server.closeIdleConnections(), LOOK_AGAIN_MS)
  try {
    await app.close()
  } finally {
    clearInterval(again)
  }
}

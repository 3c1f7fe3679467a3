import { createConnection } from 'node:net'
import { join } from 'node:path'
import { probeRedis } from './redis-probe.ts'
import type { Env } from './redis-program.ts'

const IMAGE = 'redis:7'
const PING_WITHIN_MS = 1000
const ANSWER_WITHIN_MS = 5000
const START_WITHIN_MS = 120_000

/** A Redis in a container; `stop` removes it. */
export interface RedisContainer {
  readonly url: string
  readonly image: string
  stop(): Promise<void>
}

/** Whether a container engine really answers: a Docker client or a dead socket alone is none. At most 1 s each. */
export async function engineAnswers(env: Env): Promise<boolean> {
  for (const place of engines(env)) if (await answersPing(place)) return true
  return false
}

type Place = { readonly path: string } | { readonly host: string; readonly port: number }

/** Where testcontainers looks as well. */
function engines(env: Env): Place[] {
  if (env.DOCKER_HOST) return placeOf(env.DOCKER_HOST)
  const home = env.HOME
    ? [join(env.HOME, '.docker/run/docker.sock'), join(env.HOME, '.docker/desktop/docker.sock')]
    : []
  const runtime = env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, 'docker.sock')] : []
  return ['/var/run/docker.sock', ...runtime, ...home].map((path) => ({ path }))
}

function placeOf(dockerHost: string): Place[] {
  if (dockerHost.startsWith('unix://')) return [{ path: dockerHost.slice('unix://'.length) }]
  if (!URL.canParse(dockerHost)) return []
  const { protocol, hostname, port } = new URL(dockerHost)
  return /^(tcp|https?):$/.test(protocol) && hostname ? [{ host: hostname, port: Number(port || 2375) }] : []
}

/** `GET /_ping`; 400 is how a TLS engine answers a plain request, and testcontainers has its certificates. */
function answersPing(place: Place): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(place, () => socket.write('GET /_ping HTTP/1.1\r\nhost: docker\r\n\r\n'))
    const timer = setTimeout(() => end(false), PING_WITHIN_MS)
    const end = (answers: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answers)
    }
    socket.on('data', (chunk) => end(/^HTTP\/1\.[01] (200|400)/.test(chunk.toString('latin1'))))
    socket.on('error', () => end(false))
    socket.on('close', () => end(false))
  })
}

/** Starts one by testcontainers, which the built program does not bring along: a missing package throws too. */
export async function startRedisContainer(appendOnly: boolean): Promise<RedisContainer> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const flags = {
    save: '',
    appendonly: appendOnly ? 'yes' : 'no',
    'maxmemory-policy': 'noeviction',
    'protected-mode': 'no'
  }
  const container = await new GenericContainer(IMAGE)
    .withCommand(['redis-server', ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])])
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forLogMessage('Ready to accept connections'))
    .withStartupTimeout(START_WITHIN_MS)
    .start()
  const stop = async () => {
    await container.stop()
  }
  const url = `redis://${container.getHost()}:${container.getMappedPort(6379)}`
  try {
    await probeRedis(url, ANSWER_WITHIN_MS)
    return { url, image: IMAGE, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

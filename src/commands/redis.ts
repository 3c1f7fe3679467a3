import { engineAnswers, startRedisContainer } from './redis-container.ts'
import { probeRedis, redisAddress } from './redis-probe.ts'
import { startRedisServer } from './redis-process.ts'
import { type Env, findRedisProgram, installRedisProgram, type RedisProgram } from './redis-program.ts'

const ANSWER_WITHIN_MS = 5000

const INSTALL = process.platform === 'darwin' ? 'brew install redis' : 'sudo apt-get install -y redis-server'
const NONE = `No Redis is here and none could be got. Run "${INSTALL}" and try again, or name one in REDIS_URL.`

/** A Redis to work with. `source` says where it came from, as part of a sentence. */
export interface FoundRedis {
  readonly url: string
  readonly source: string
  /** Ends what was started for this; leaves a Redis that was already there alone. */
  stop(): Promise<void>
}

/** How to look. `log` gets a line for each thing that is tried, passed over or waited for. */
export interface FindRedisOptions {
  readonly env: Env
  readonly log: (line: string) => void
  /** Try a container engine before everything else. */
  readonly prefer?: 'container'
  readonly appendOnly?: boolean
  /** Whether packages may be installed; by default: whether this process is root. */
  readonly root?: boolean
}

type Source = (options: FindRedisOptions) => Promise<FoundRedis | undefined>

/**
 * Finds or gets a Redis: `REDIS_URL`, a server program on the PATH, a container engine, Debian's package.
 * Throws a sentence with the command to run when there is none, or when `REDIS_URL` does not answer.
 */
export async function findRedis(options: FindRedisOptions): Promise<FoundRedis> {
  const order =
    options.prefer === 'container'
      ? [inContainer, atUrl, onPath, fromPackage]
      : [atUrl, onPath, inContainer, fromPackage]
  for (const source of order) {
    const found = await source(options)
    if (found !== undefined) return found
  }
  throw new Error(NONE)
}

const atUrl: Source = async ({ env }) => {
  const url = env.REDIS_URL
  if (!url) return undefined
  try {
    const address = redisAddress(url)
    const { version } = await probeRedis(url, ANSWER_WITHIN_MS)
    return { url, source: `REDIS_URL (${address}${version ? `, version ${version}` : ''})`, stop: async () => {} }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`REDIS_URL cannot be used: ${reason}. Start that Redis, correct the address, or unset REDIS_URL.`)
  }
}

const onPath: Source = async (options) => {
  const program = await findRedisProgram(options.env, options.log)
  return program && started(program, 'on the PATH', options)
}

const inContainer: Source = async ({ env, log, appendOnly }) => {
  if (!(await engineAnswers(env))) return undefined
  log('a container engine answers: starting Redis in a container (the first time it pulls the image)')
  try {
    const { url, image, stop } = await startRedisContainer(appendOnly ?? false)
    return { url, source: `${image} in a container, started by testcontainers`, stop }
  } catch (error) {
    log(`no Redis in a container: ${error instanceof Error ? error.message : error}`)
    return undefined
  }
}

const fromPackage: Source = async (options) => {
  const root = options.root ?? process.getuid?.() === 0
  try {
    const program = await installRedisProgram(options.env, root, options.log)
    return program && (await started(program, "from Debian's package, installed now", options))
  } catch (error) {
    throw new Error(`${NONE}\n${error instanceof Error ? error.message : error}`)
  }
}

async function started(program: RedisProgram, where: string, { appendOnly }: FindRedisOptions): Promise<FoundRedis> {
  const server = await startRedisServer({ program: program.path, appendOnly: appendOnly ?? false })
  return { url: server.url, source: `${program.title} ${where}, started as a process`, stop: server.stop }
}

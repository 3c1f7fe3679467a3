import { execFile, spawn } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const NAMES = ['redis-server', 'valkey-server']
const OLDEST_MAJOR = 7
const SAY_EVERY_MS = 5000

/** The environment as the caller read it. */
export type Env = Readonly<Record<string, string | undefined>>

/** A server program that is new enough. `title` is its name and version. */
export interface RedisProgram {
  readonly path: string
  readonly title: string
}

/** The first `redis-server` or `valkey-server` ≥ 7.0 on the PATH; an older one is passed over with a line. */
export async function findRedisProgram(env: Env, log: (line: string) => void): Promise<RedisProgram | undefined> {
  for (const name of NAMES) {
    const path = await findOnPath(env, name)
    if (path === undefined) continue
    const version = await versionOf(path)
    if (Number.parseInt(version ?? '', 10) >= OLDEST_MAJOR) return { path, title: `${name} ${version}` }
    log(`${path} is ${version ?? 'of an unknown version'}, Redis ${OLDEST_MAJOR}.0 or newer is needed: passed over`)
  }
  return undefined
}

/** Installs Debian's package where `root` and apt-get allow it; undefined where they do not. Throws apt's own words. */
export async function installRedisProgram(
  env: Env,
  root: boolean,
  log: (line: string) => void
): Promise<RedisProgram | undefined> {
  const apt = root ? await findOnPath(env, 'apt-get') : undefined
  if (apt === undefined) return undefined
  await apply(apt, ['update'], env, log)
  await apply(apt, ['install', '-y', '--no-install-recommends', 'redis-server'], env, log)
  return findRedisProgram(env, log)
}

async function findOnPath(env: Env, name: string): Promise<string | undefined> {
  for (const folder of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const path = join(folder, name)
    const runs = await access(path, constants.X_OK).then(
      () => true,
      () => false
    )
    if (runs) return path
  }
  return undefined
}

async function versionOf(path: string): Promise<string | undefined> {
  const result = await promisify(execFile)(path, ['--version'], { timeout: 5000 }).catch(() => undefined)
  return /\bv=(\d+\.\S+)/.exec(result?.stdout ?? '')?.[1]
}

/** Runs apt-get and says every few seconds that it still does. */
function apply(apt: string, args: readonly string[], env: Env, log: (line: string) => void): Promise<void> {
  const command = ['apt-get', ...args].join(' ')
  const startedAt = Date.now()
  log(`no Redis here yet: running ${command}`)
  const ticker = setInterval(
    () => log(`${command}: still running after ${Math.round((Date.now() - startedAt) / 1000)} s`),
    SAY_EVERY_MS
  )
  return new Promise<void>((resolve, reject) => {
    const child = spawn(apt, args, {
      env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`${command} failed:\n${output.trim().split('\n').slice(-5).join('\n')}`))
    })
  }).finally(() => clearInterval(ticker))
}

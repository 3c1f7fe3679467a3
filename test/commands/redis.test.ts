import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { findRedis } from '../../src/commands/redis.ts'
import { engineAnswers } from '../../src/commands/redis-container.ts'
import { freePort, probeRedis, redisAddress } from '../../src/commands/redis-probe.ts'
import { startRedisServer } from '../../src/commands/redis-process.ts'
import { findRedisProgram } from '../../src/commands/redis-program.ts'
import { startRedisProcess, startTcpProxy, testRedis } from '../helpers/redis.ts'

const MODULE = new URL('../../src/commands/redis-process.ts', import.meta.url).href
const NO_ENGINE = 'unix:///does/not/exist.sock'

/** A folder of its own with the given scripts in it, to be used as a PATH. */
async function folder(t: Tap, scripts: Record<string, string> = {}): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'ztb-path-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  for (const [name, body] of Object.entries(scripts)) {
    await writeFile(join(dir, name), `#!/bin/sh\n${body}\n`)
    await chmod(join(dir, name), 0o755)
  }
  return dir
}
type Tap = { teardown(run: () => unknown): void }

/** The real server program of this machine, however the tests got their Redis. */
const real = (await findRedisProgram(process.env, () => {}))?.path

/** Stands in for a server: tells `version`, and is otherwise the real one. */
const server = (version: string) =>
  `[ "$1" = --version ] && echo "Redis server v=${version} sha=0:0" && exit 0\nexec ${real} "$@"`

/** An engine that answers a ping and fails at everything else. */
async function brokenEngine(t: Tap): Promise<string> {
  const path = join(await folder(t), 'engine.sock')
  const sockets = new Set<Socket>()
  const engine = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (request) => {
      const status = request.toString().startsWith('GET /_ping') ? '200 OK' : '500 Broken'
      socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
    })
  })
  engine.listen(path)
  await once(engine, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    engine.close()
  })
  return `unix://${path}`
}

/** Waits until `holds`, at most 10 s. */
async function until(holds: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    if (await holds()) return true
    await delay(10)
  }
  return false
}

/** Gone, or a zombie that nobody has waited for: its parent is dead and this machine may have no init that does. */
async function ended(pid: number): Promise<boolean> {
  if (!lives(pid)) return true
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat.includes(') Z ')
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

t.test('REDIS_URL is taken first, and left running by stop', async (t) => {
  const { url } = await testRedis(t)
  const found = await findRedis({ env: { REDIS_URL: url, PATH: process.env.PATH }, log: t.fail })
  t.equal(found.url, url)
  t.match(found.source, /^REDIS_URL \(\S+:\d+, version \d/)
  await found.stop()
  t.match(await probeRedis(url, 5000), { version: /^\d/ })
})

t.test('a REDIS_URL that does not answer is refused, though a server is on the PATH', async (t) => {
  const REDIS_URL = `redis://someone:hidden@127.0.0.1:${await freePort()}`
  const refused = await findRedis({ env: { REDIS_URL, PATH: process.env.PATH }, log: t.fail }).catch((error) => error)
  t.match(refused.message, /^REDIS_URL cannot be used: .*ECONNREFUSED.* unset REDIS_URL\.$/)
  t.notMatch(refused.message, 'hidden')
})

t.test('a REDIS_URL that is none is refused with an example', async (t) => {
  for (const REDIS_URL of ['127.0.0.1:6379', 'http://127.0.0.1', 'redis://', 'x']) {
    await t.rejects(findRedis({ env: { REDIS_URL }, log: t.fail }), { message: /looks like redis:/ }, REDIS_URL)
  }
  t.equal(redisAddress('rediss://u:p@store.example:6380/2'), 'store.example:6380')
})

t.test('servers that can be started', { skip: real ? false : 'no redis-server on the PATH' }, async (t) => {
  t.test('one on the PATH is started, keeps nothing in its way and is gone after stop', async (t) => {
    const PATH = await folder(t, { 'redis-server': server('7.4.1') })
    const found = await findRedis({ env: { PATH, DOCKER_HOST: NO_ENGINE }, log: t.fail })
    t.equal(found.source, 'redis-server 7.4.1 on the PATH, started as a process')
    const { pid } = await probeRedis(found.url, 5000)
    t.equal(new URL(found.url).hostname, '127.0.0.1')
    await found.stop()
    t.notOk(lives(pid ?? 0))
  })

  t.test('an old one is passed over for a valkey-server, and said so', async (t) => {
    const PATH = await folder(t, { 'redis-server': server('6.2.14'), 'valkey-server': server('8.0.1') })
    const lines: string[] = []
    const found = await findRedis({ env: { PATH, DOCKER_HOST: NO_ENGINE }, log: (line) => lines.push(line) })
    t.teardown(found.stop)
    t.match(found.source, 'valkey-server 8.0.1 on the PATH')
    t.match(lines, [/6\.2\.14, Redis 7\.0 or newer is needed: passed over/])
    t.equal(lines.length, 1)
  })

  t.test('an engine that fails is passed over; preferred, it comes before REDIS_URL and the PATH', async (t) => {
    const { url } = await testRedis(t)
    const env = { PATH: process.env.PATH, DOCKER_HOST: await brokenEngine(t), REDIS_URL: url }
    const plain = await findRedis({ env, log: t.fail })
    t.match(plain.source, /^REDIS_URL/)

    // testcontainers reads the process's own environment.
    const before = process.env.DOCKER_HOST
    process.env.DOCKER_HOST = env.DOCKER_HOST
    t.teardown(() => {
      if (before === undefined) delete process.env.DOCKER_HOST
      else process.env.DOCKER_HOST = before
    })
    const lines: string[] = []
    const preferred = await findRedis({ env, prefer: 'container', log: (line) => lines.push(line) })
    t.match(lines, [/^a container engine answers/, /^no Redis in a container: /])
    t.match(preferred.source, /^REDIS_URL/)
  })

  t.test("Debian's package is the last resort, and only for root", async (t) => {
    const PATH = await folder(t, { 'held-back': server('7.0.15') })
    const install = `PATH=/usr/bin:/bin; cd ${PATH}; echo "$@" >> calls; [ "$1" = update ] || cp held-back redis-server`
    const env = { PATH: `${PATH}:${await folder(t, { 'apt-get': install })}`, DOCKER_HOST: NO_ENGINE }
    await t.rejects(findRedis({ env, root: false, log: t.fail }), { message: /none could be got\. Run ".+"/ })

    const lines: string[] = []
    const found = await findRedis({ env, root: true, log: (line) => lines.push(line) })
    t.teardown(found.stop)
    t.equal(found.source, "redis-server 7.0.15 from Debian's package, installed now, started as a process")
    t.equal(await readFile(join(PATH, 'calls'), 'utf8'), 'update\ninstall -y --no-install-recommends redis-server\n')
    t.match(lines, [/running apt-get update$/, /running apt-get install/])
  })

  t.test('nothing at all: an error with the command to run, and what apt-get said', async (t) => {
    const bare = { PATH: await folder(t), DOCKER_HOST: NO_ENGINE }
    for (const root of [true, false]) {
      await t.rejects(findRedis({ env: bare, root, log: t.fail }), { message: /none could be got\. Run ".+"/ })
    }
    const offline = { ...bare, PATH: await folder(t, { 'apt-get': 'echo "E: no such mirror" >&2; exit 100' }) }
    await t.rejects(findRedis({ env: offline, root: true, log: () => {} }), {
      message: /Run ".+"(.|\n)*no such mirror/
    })
  })

  t.test('a server that dies at once is reported with its own words', async (t) => {
    const dir = await folder(t, { broken: 'exit 1' })
    await t.rejects(startRedisServer({ program: join(dir, 'broken') }), { message: /did not come up/ })
    await t.rejects(startRedisServer({ program: join(dir, 'missing') }), { message: /^cannot start/ })
    await t.rejects(startRedisServer({ program: join(dir, 'broken', 'file') }), { code: 'ENOTDIR' })
    const taken = await startRedisProcess(t)
    const refused = startRedisServer({ program: real ?? '', port: taken.port })
    await t.rejects(refused, { message: /did not come up on port \d+:(.|\n)*in use/ })
    t.ok(lives(taken.pid()))
  })

  t.test('a server dies with the program that started it, even by SIGKILL, and its folder goes too', async (t) => {
    const source = `import { startRedisServer } from ${JSON.stringify(MODULE)}
      const { pid } = await startRedisServer({ program: ${JSON.stringify(real)} })
      console.log(pid)
      setInterval(() => {}, 60_000)`
    const tmp = await folder(t)
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: tmp }
    })
    const [line] = await once(createInterface(parent.stdout), 'line')
    const pid = Number(line)
    t.ok(lives(pid))
    t.equal((await readdir(tmp)).length, 1)
    parent.kill('SIGKILL')
    t.ok(await until(() => ended(pid)), 'the server has ended')
    t.ok(await until(async () => (await readdir(tmp)).length === 0), 'its folder is gone')
  })

  t.test('a server does not keep its program alive', async (t) => {
    const source = `import { startRedisServer } from ${JSON.stringify(MODULE)}
      await startRedisServer({ program: ${JSON.stringify(real)} })`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' })
    const [code] = await once(parent, 'exit')
    t.equal(code, 0)
  })

  t.test(
    'a test can kill, freeze and restart a server of its own; with appendOnly it keeps what it said',
    async (t) => {
      const own = await startRedisProcess(t, { appendOnly: true })
      const options = { commandTimeout: 200, maxRetriesPerRequest: 0, retryStrategy: () => 20 }
      const client = own.client(options)
      const answers = () => own.client(options).get('k')
      await client.set('k', 'v')

      own.pause()
      await t.rejects(client.get('k'), { message: /timed out/ })
      own.resume()
      t.equal(await answers(), 'v')

      const before = own.pid()
      await own.kill()
      await t.rejects(answers())
      await own.restart()
      t.not(own.pid(), before)
      t.equal(await answers(), 'v')
    }
  )
})

t.test('a Redis in a container, where an engine answers', async (t) => {
  if (!(await engineAnswers(process.env))) {
    t.pass('no engine answers here')
    return
  }
  const found = await findRedis({ env: process.env, prefer: 'container', log: (line) => t.comment(line) })
  t.teardown(found.stop)
  t.match(await probeRedis(found.url, 5000), { version: /^[7-9]/ })
})

t.test('the proxy', async (t) => {
  const { url, client } = await testRedis(t)
  const proxy = await startTcpProxy(t, url)
  const options = { commandTimeout: 200, maxRetriesPerRequest: 0, retryStrategy: () => 10, disconnectTimeout: 50 }
  const through = (): Redis => {
    const made = new Redis(proxy.url, options)
    made.on('error', () => {})
    t.teardown(() => made.disconnect())
    return made
  }
  t.equal(await client().ping(), 'PONG')

  await t.test('passes everything on', async (t) => {
    t.equal(await through().echo('x'.repeat(1_000_000)), 'x'.repeat(1_000_000))
    t.equal(proxy.accepted(), 1)
  })

  await t.test('frozen, it accepts and says nothing; thawed, the same connection goes on', async (t) => {
    const one = through()
    await one.ping()
    const connections = proxy.accepted()
    proxy.freeze()
    await t.rejects(one.ping(), { message: /timed out/ })
    const other = through()
    t.ok(await until(() => proxy.accepted() === connections + 1))
    proxy.thaw()
    t.equal(await one.ping(), 'PONG')
    t.equal(await until(() => other.status === 'ready'), true)
    t.equal(proxy.accepted(), connections + 1)
  })

  await t.test('cut, it resets what stands and refuses what comes; healed, clients come back', async (t) => {
    const one = through()
    await one.ping()
    await proxy.cut()
    t.ok(await until(() => one.status !== 'ready'))
    await t.rejects(probeRedis(proxy.url, 1000), { code: 'ECONNREFUSED' })
    await proxy.heal()
    t.ok(await until(() => one.status === 'ready'))
    t.equal(await one.ping(), 'PONG')
  })

  await t.test('a client that left while it was frozen is forgotten', async (t) => {
    const one = through()
    await one.ping()
    proxy.freeze()
    one.disconnect()
    await proxy.heal()
    t.equal(await through().ping(), 'PONG')
  })
})

t.test('the tests share one Redis, with a prefix for each caller', async (t) => {
  const one = await testRedis(t)
  const other = await testRedis(t)
  t.match(one.prefix, /^ztb-[0-9a-f]{12}$/)
  t.not(one.prefix, other.prefix)
  t.equal(await one.client().ping(), 'PONG')
})

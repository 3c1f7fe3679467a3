import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { checkCommand } from '../../src/commands/check.ts'
import type { Command } from '../../src/commands/io.ts'
import { createApiKey, hashApiKey, keysCommand } from '../../src/commands/keys.ts'
import { createEnvironment } from '../../src/config/environment.ts'
import { loadConfig } from '../../src/config/load.ts'

const EXAMPLE = fileURLToPath(new URL('../../examples/broker.yaml', import.meta.url))
const SEALING_KEY = Buffer.alloc(32, 7).toString('base64')
const API_KEY = /ztb_[a-z0-9]{8}_[A-Za-z0-9]{43}/

async function run(command: Command, argv: string[], variables: Record<string, string> = {}) {
  const stdout = new PassThrough({ encoding: 'utf8' })
  const stderr = new PassThrough({ encoding: 'utf8' })
  const code = await command(argv, { stdout, stderr, environment: createEnvironment(variables) })
  return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

/** A copy of the example with every file that it refers to. */
function exampleWithFiles(t: Test): string {
  const directory = t.testdir({})
  const text = readFileSync(EXAMPLE, 'utf8')
  for (const [, file = ''] of text.replaceAll(/^\s*#.*$/gm, '').matchAll(/\{ file: (\S+) \}/g)) {
    mkdirSync(dirname(join(directory, file)), { recursive: true })
    writeFileSync(join(directory, file), file.includes('sealing') ? `${SEALING_KEY}\n` : 'example-secret\n')
  }
  const path = join(directory, 'broker.yaml')
  writeFileSync(path, text)
  return path
}

const VARIABLES = { BROKER_REDIS_URL: 'rediss://broker:example-pass@redis.example:6379/0' }

t.test('check accepts the example and says what to register and what is served', async (t) => {
  const path = exampleWithFiles(t)
  const result = await run(checkCommand, ['--config', path], VARIABLES)
  t.strictSame(result, {
    code: 0,
    stderr: '',
    stdout: `ok
app desk (desk)
  redirect URI to register at Zoho: https://connect.example.com/oauth/callback
  data centers: us, eu, in; consent starts at us
app crm (api)
  redirect URI to register at Zoho: https://connect.example.com/oauth/callback
  data centers: us, eu; consent starts at us
consumers: ticket-sync, ops
listener public: 0.0.0.0:8080
listener api: 0.0.0.0:8081
listener management: 0.0.0.0:8082
`
  })
  t.strictSame(await run(checkCommand, [], { ...VARIABLES, BROKER_CONFIG: path }), result)
})

t.test('check prints every fault and fails, without a secret in it', async (t) => {
  const path = exampleWithFiles(t)
  writeFileSync(
    path,
    readFileSync(path, 'utf8').replace('budget: 5 ', 'budget: 1 ').replace('secrets/desk-', 'secrets/no-')
  )
  t.strictSame(await run(checkCommand, ['--config', path]), {
    code: 1,
    stdout: '',
    stderr: `redis.url: environment variable BROKER_REDIS_URL is not set or empty
apps.desk.client_secret: file secrets/no-client-secret cannot be read (ENOENT)
refresh.budget: must be at least 3
`
  })
})

t.test('check --online is refused with a sentence, other misuse with the usage', async (t) => {
  t.match(await run(checkCommand, ['--online']), { code: 2, stdout: '', stderr: 'check --online is not built yet' })
  for (const argv of [[], ['--config'], ['--what'], ['broker.yaml']]) {
    t.match(await run(checkCommand, argv), { code: 2, stdout: '', stderr: 'usage: ' })
  }
  t.match(await run(checkCommand, ['--config', 'no-such.yaml']), {
    code: 1,
    stderr: 'no-such.yaml: cannot be read (ENOENT)\n'
  })
})

t.test('check --schema prints the JSON Schema', async (t) => {
  const { code, stdout } = await run(checkCommand, ['--schema'])
  t.equal(code, 0)
  t.match(JSON.parse(stdout), { title: 'Configuration of the Zoho token broker', additionalProperties: false })
})

t.test('keys consumer prints a key once and a configuration that knows only its hash', async (t) => {
  const { code, stdout, stderr } = await run(keysCommand, ['consumer', 'ticket-sync'])
  t.equal(code, 0)
  t.equal(stderr, '')
  const key = API_KEY.exec(stdout)?.[0] ?? ''
  t.equal(stdout.split(key).length, 2, 'the key stands there once')
  const snippet = stdout.slice(stdout.indexOf('consumers:'))
  t.notMatch(snippet, API_KEY)
  const { consumers } = parse(snippet)
  t.strictSame(consumers['ticket-sync'].keys, [`sha256:${createHash('sha256').update(key).digest('hex')}`])
})

t.test('what the keys command prints is accepted in a configuration', async (t) => {
  const path = exampleWithFiles(t)
  const config = parse(readFileSync(path, 'utf8'))
  const consumer = (await run(keysCommand, ['consumer', '1.50'])).stdout
  const { consumers } = parse(consumer.slice(consumer.indexOf('consumers:')))
  const { sealing } = parse((await run(keysCommand, ['sealing', '2026-11'])).stdout)
  writeFileSync(path, JSON.stringify({ ...config, consumers, sealing }))
  const loaded = await loadConfig({ path, environment: createEnvironment(VARIABLES) })
  t.strictSame(
    loaded.consumers.map(({ name }) => name),
    ['1.50']
  )
  t.equal(loaded.sealing.keys[0]?.id, '2026-11')
  t.equal(Buffer.from(loaded.sealing.keys[0]?.key.reveal() ?? '', 'base64').length, 32)
  t.match((await run(keysCommand, ['sealing'])).stdout, 'id: "k1"')
})

t.test('every key is new and every sign of the alphabet equally likely', async (t) => {
  const keys = Array.from({ length: 2000 }, createApiKey)
  t.equal(new Set(keys).size, keys.length)
  t.ok(keys.every((key) => new RegExp(`^${API_KEY.source}$`).test(key)))
  const counts = new Map<string, number>()
  for (const sign of keys.map((key) => key.slice(13)).join('')) counts.set(sign, (counts.get(sign) ?? 0) + 1)
  t.equal(counts.size, 62)
  // 86 000 draws: 1 387 of each sign, standard deviation 37. A remainder of a byte would give 8 of them a quarter more.
  t.ok([...counts.values()].every((count) => count > 1387 - 8 * 37 && count < 1387 + 8 * 37))
  t.match(hashApiKey('x'), /^sha256:[0-9a-f]{64}$/)
})

t.test('misuse of keys prints the usage and no key', async (t) => {
  const wrong = [[], ['consumer'], ['consumer', 'a b'], ['consumer', 'a', 'b'], ['sealing', '"'], ['other', 'x']]
  for (const argv of wrong) t.match(await run(keysCommand, argv), { code: 2, stdout: '', stderr: 'usage: ' })
})

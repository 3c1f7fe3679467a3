import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { parse } from 'yaml'
import { openapiCommand } from '../src/commands/openapi.ts'
import { createEnvironment } from '../src/config/environment.ts'
import { STATUS } from '../src/http/problem.ts'
import { renderOpenapi } from '../src/http/render-openapi.ts'
import { startHttp } from './http/harness.ts'

const root = new URL('../', import.meta.url)
const read = (path: string) => readFile(new URL(path, root), 'utf8')

interface Operation {
  operationId?: string
  summary?: string
  description?: string
  tags?: string[]
  security?: unknown[]
  requestBody?: unknown
  parameters?: { name: string; in: string; schema: object }[]
  responses: Record<string, { description: string; content?: Record<string, { schema: { $ref?: string } }> }>
}

interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: { Problem: { properties: { code: { enum: string[] } } } } }
}

const generated = await renderOpenapi()
const document = parse(generated) as Document
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation }))
)

/** The codes as the type in the source lists them: a type leaves nothing to ask at run time. */
async function codesOfUnion(): Promise<string[]> {
  const source = await read('src/domain/errors.ts')
  const union = /export type BrokerErrorCode =([^;]*?)\n\n/.exec(source)?.[1] ?? ''
  return [...union.matchAll(/'(ERR_[A-Z_]+)'/g)].map(([, code = '']) => code)
}

/** Runs `openapi` with its streams kept. */
async function run(...argv: string[]) {
  const written = { out: '', err: '' }
  const into = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, done) {
        written[name] += String(chunk)
        done()
      }
    })
  const io = { stdout: into('out'), stderr: into('err'), environment: createEnvironment({}) }
  return { exit: await openapiCommand(argv, io), ...written }
}

t.test('openapi.yaml is what the routes generate (npm run openapi writes it)', async (t) => {
  t.equal(await read('openapi.yaml'), generated)
})

t.test('two runs give the same bytes', async (t) => {
  t.equal(await renderOpenapi(), generated)
})

t.test('the api listener serves the same document without an API key', async (t) => {
  const { api } = await startHttp(t)
  const response = await api.inject('/openapi.yaml')
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], /^application\/yaml/)
  t.equal(response.body, generated)
})

t.test('redocly lint finds nothing by its recommended rules', async (t) => {
  const cli = createRequire(import.meta.url).resolve('@redocly/cli/bin/cli.js')
  const child = spawn(process.execPath, [cli, 'lint', 'openapi.yaml', '--format=json'], {
    cwd: root,
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const exit = new Promise((resolve) => child.once('close', resolve))
  const report = JSON.parse(await text(child.stdout))
  t.strictSame(report.problems, [])
  t.equal(await exit, 0)
})

t.test('every route has an id of its own, a summary, a description and a tag', async (t) => {
  const ids = operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length)
  for (const { name, operation } of operations) {
    t.match(operation, { operationId: /^[a-z][A-Za-z]+$/, summary: /^[A-Z]/, description: /\.$/, tags: [String] }, name)
  }
})

t.test('every answer but the good one is the one problem shape', async (t) => {
  for (const { name, operation } of operations) {
    for (const [status, response] of Object.entries(operation.responses)) {
      if (status.startsWith('2')) continue
      t.strictSame(
        response.content,
        { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        `${name} ${status}`
      )
      for (const code of response.description.split(', ')) {
        const own = STATUS[code as keyof typeof STATUS]
        t.ok(String(own) === status || ['413', '415'].includes(status), `${name} ${status} ${code}`)
      }
    }
  }
})

t.test('routes that take no body show none, and query values are shown as the integers they mean', async (t) => {
  const token = document.paths['/v1/tenants/{tenant_id}/connections/{connection_id}/token']?.post
  t.equal(token?.requestBody, undefined)
  t.match(
    token?.parameters?.find(({ name }) => name === 'min_ttl_seconds'),
    { in: 'query', schema: { type: 'integer', minimum: 1, maximum: 1800 } }
  )
  t.notMatch(generated, 'x-integer')
  t.notMatch(generated, 'x-problems')
})

t.test('only the document itself needs no API key', async (t) => {
  const open = operations.filter(({ operation }) => operation.security !== undefined).map(({ name }) => name)
  t.strictSame(open, ['GET /openapi.yaml'])
})

t.test('no example looks like a token or a key', async (t) => {
  t.notMatch(generated, /1000\.[0-9a-f]{8,}|ztb_[a-z0-9]{8}_/)
})

t.test('the code enum is the union of the source', async (t) => {
  const codes = await codesOfUnion()
  t.ok(codes.length > 20)
  t.strictSame(document.components.schemas.Problem.properties.code.enum, codes)
  t.strictSame(Object.keys(STATUS), codes)
})

t.test('docs/errors.md explains every code with its status, once, in order', async (t) => {
  const rows = (await read('docs/errors.md')).matchAll(/^\| `(ERR_[A-Z_]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$/gm)
  const documented = [...rows].map(([, code, status]) => [code, Number(status)])
  t.strictSame(documented, Object.entries(STATUS))
})

t.test('the command prints the document, or writes it', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'ztb-openapi-'))
  t.teardown(() => rm(dir, { recursive: true }))
  t.match(await run(), { exit: 0, out: generated, err: '' })
  const file = join(dir, 'written.yaml')
  t.match(await run('--write', file), { exit: 0, out: '', err: '' })
  t.equal(await readFile(file, 'utf8'), generated)
  t.match(await run('--write', join(dir, 'none', 'written.yaml')), { exit: 1, out: '', err: /^openapi: ENOENT/ })
  t.match(await run('--writ', file), { exit: 2, out: '', err: /Usage: zoho-token-broker openapi/ })
  t.match(await run('more'), { exit: 2, out: '' })
  t.match(await run('--help'), { exit: 0, out: /^Usage:/ })
})

import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { createEnvironment } from '../src/config/environment.ts'
import { loadConfig } from '../src/config/load.ts'
import { STATUSES } from '../src/domain/connection.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { call } from './helpers/calls.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

const pages = new Map(
  [...globSync('*.md', { cwd: ROOT }), ...globSync('docs/*.md', { cwd: ROOT })].map((p) => [p, read(p)])
)
const readme = pages.get('README.md') ?? ''

interface Schema {
  readonly $ref?: string
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, { readonly enum?: readonly string[] }>>
}
interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}
const openapi: {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
} = parse(read('openapi.yaml'))

/** All matches of a pattern, with the page that they are on. */
function* found(pattern: RegExp, texts: Iterable<readonly [string, string]> = pages) {
  for (const [page, text] of texts) for (const match of text.matchAll(pattern)) yield { page, match }
}

/** The commands in the README's shell blocks, with continued lines joined. */
const commands = [...readme.matchAll(/^ *```sh\n(.*?)^ *```/gms)].flatMap(([, block = '']) =>
  block
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
)

/** The rows of the table with these column heads, each with the code words of its first cell. */
function* rows(page: string, heads: string) {
  const text = pages.get(page) ?? ''
  const [, table = ''] = text.split(`\n| ${heads} |\n`)
  for (const [, first = '', rest = ''] of (/^(?:\|.*\n)*/.exec(table)?.[0] ?? '').matchAll(/^\| `([^`]+)` \|(.*)$/gm)) {
    yield { name: first, rest }
  }
}

/** What a command of the program says about itself, on whichever stream. */
function helpOf(...args: string[]): string {
  const { stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'src/main.ts'), ...args], { encoding: 'utf8' })
  return stdout + stderr
}

/** The anchor that a heading gets. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}

t.test('README opens with one sentence and the two commands', async (t) => {
  const [title, sentence = '', block] = readme.split('\n\n')
  t.match(title, /^# /)
  t.equal([...sentence.matchAll(/\.(\s|$)/g)].length, 1, 'one sentence')
  t.equal(block, '```sh\nnpm ci && npm run demo\nnpm ci && npm test\n```')
})

t.test('every npm script that a page names exists', async (t) => {
  const { scripts } = JSON.parse(read('package.json'))
  for (const { page, match } of found(/\bnpm (?:run ([\w:-]+)|(test|start)\b)/g)) {
    const name = match[1] ?? match[2] ?? ''
    t.ok(Object.hasOwn(scripts, name), `${page}: ${match[0]}`)
  }
})

t.test('every command of the program that a page or example names exists, with its flags', async (t) => {
  const texts = [...pages, ...globSync('examples/*', { cwd: ROOT }).map((path) => [path, read(path)] as const)]
  const named = [...found(/\bzoho-token-broker ([a-z]+)([^`\n]*)/g, texts)]
  const known = new Set([...helpOf().matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name))
  const used = new Set(named.map(({ match }) => match[1] ?? '').filter((name) => known.has(name)))
  const usages = new Map([...used].map((name) => [name, helpOf(name, '--help')]))
  for (const { page, match } of named) {
    const [all, name = '', rest = ''] = match
    const usage = usages.get(name) ?? ''
    const kind = name === 'keys' ? / ([a-z]+)/.exec(rest)?.[1] : undefined
    t.ok(known.has(name) && (kind === undefined || usage.includes(`keys ${kind}`)), `${page}: ${all}`)
    for (const [flag] of rest.matchAll(/--[a-z][a-z-]*/g)) t.ok(usage.includes(flag), `${page}: ${name} ${flag}`)
  }
})

t.test('every link inside the repository leads to a file, and to a heading where it names one', async (t) => {
  for (const { page, match } of found(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)) {
    const [, path = '', anchor] = match
    const target = path === '' ? page : join(dirname(page), path)
    t.ok(existsSync(join(ROOT, target)), `${page}: ${target}`)
    if (anchor === undefined) continue
    const headings = [...(pages.get(target) ?? '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))
    t.ok(headings.includes(anchor), `${page}: ${target}#${anchor}`)
  }
})

t.test('README lists every top-level key of the configuration', async (t) => {
  const listed = [...readme.matchAll(/^\| \[`(\w+)`\]/gm)].map(([, key]) => key)
  const explained = [...read('docs/configuration.md').matchAll(/^## (\w+)$/gm)].map(([, key]) => key)
  t.ok(listed.length > 0)
  t.same(listed, explained)
})

t.test('README tells a service what to do with every code that the token routes may answer', async (t) => {
  const path = '/v1/tenants/{tenant_id}/connections/{connection_id}/token'
  const promised = new Set<string>()
  for (const route of [path, `${path}/rejected`]) {
    for (const [status, { description }] of Object.entries(openapi.paths[route]?.post?.responses ?? {})) {
      for (const [code] of description.matchAll(/ERR_[A-Z_]+/g)) promised.add(`${status} ${code}`)
    }
  }
  const told = [...readme.matchAll(/^\| (\d{3}) \| (`ERR_[^|]+) \|/gm)].flatMap(([, status, codes = '']) =>
    [...codes.matchAll(/ERR_[A-Z_]+/g)].map(([code]) => `${status} ${code}`)
  )
  const codesOf = (answers: Iterable<string>) => [...new Set([...answers].map((each) => each.slice(4)))].sort()
  t.same(codesOf(told), codesOf(promised))
  for (const each of told) t.ok(promised.has(each), each)
})

t.test('README names every option of a connect link, and which one is required', async (t) => {
  const { properties = {}, required = [] } = openapi.components.schemas.NewConnectLink ?? {}
  const told = [...rows('README.md', 'option | what it does | without it')]
  t.same(
    told.map(({ name }) => name),
    Object.keys(properties)
  )
  t.same(
    told.filter(({ rest }) => rest.endsWith(' required |')).map(({ name }) => name),
    required
  )
})

t.test('every status of a connection, a link and a flow is explained', async (t) => {
  const namesOf = (page: string, heads: string) => [...rows(page, heads)].map(({ name }) => name)
  const { ConnectLink, ConnectFlow } = openapi.components.schemas
  t.same(namesOf('README.md', 'status | means | a token request gets | ends by'), STATUSES)
  t.same(namesOf('docs/connect.md', 'state | means'), ConnectLink?.properties?.state?.enum)
  t.same(namesOf('docs/connect.md', 'status | means | ends'), ConnectFlow?.properties?.status?.enum)
})

t.test('docs/audit.md explains every event that the domain writes', async (t) => {
  const sources = globSync(['src/domain/*.ts', 'src/compose.ts'], { cwd: ROOT }).map(
    (path) => [path, read(path)] as const
  )
  const domain = sources.map(([, text]) => text).join('\n')
  const literal = /'((?:connect_link|connect_flow|connection|grant|request)\.[a-z_]+)'/g
  const emitted = new Set([...domain.matchAll(literal)].map(([, type = '']) => type))
  const ways = /readonly how: ([^\n]+)/.exec(domain)?.[1]?.match(/[a-z]+/g) ?? []
  const templates = [...domain.matchAll(/auditEvent\(`(.+?)`/g)].map(([, template = '']) => template)
  t.match(templates, [/^connection\.\$\{options\.how\}$/], 'the one type that is put together')
  t.equal(templates.length, 1)
  for (const way of ways) emitted.add(`connection.${way}`)
  const told = [...rows('docs/audit.md', 'type | when | `data`')].map(({ name }) => name)
  t.same(told.toSorted(), [...emitted].sort())
})

t.test(
  'every curl of the README calls a route that there is with members that it takes, and the simulator does what it asks',
  async (t) => {
    const simulator = await startSimulator()
    t.teardown(() => simulator.close())
    const calls = commands.filter((command) => command.includes('curl '))
    t.ok(calls.length > 8)
    for (const command of calls) {
      const data = /--data (?:'([^']*)'|@-)/.exec(command)
      const method = /-X ([A-Z]+)/.exec(command)?.[1] ?? (data ? 'POST' : 'GET')
      const [, port, path = ''] = /127\.0\.0\.1:(\d+)(\/[^\s"?')]*)/.exec(command) ?? []
      // What curl sends by itself is a form, which is not what a JSON body wants to be.
      if (data?.[1] !== '' && data) t.match(command, "-H 'Content-Type: application/json'")
      if (port === '8081') checkApiCall(t, method, path, data?.[1])
      else if (port === '8082') t.ok(['/livez', '/readyz', '/metrics'].includes(path), path)
      else if (port === '4000' && data?.[1] === undefined) {
        t.ok((await call('GET', simulator.control)).body.controls.includes(path), path)
      } else if (port === '4000') {
        const { status } = await call(method, simulator.control + path, { body: data?.[1] })
        t.equal(status, 200, `${path} ${data?.[1]}`)
      } else t.match(command, /"\$(LINK|BACK)"/, 'an address that an earlier command gave')
    }
  }
)

/** That `openapi.yaml` has the route, and that it takes the members of the body. */
function checkApiCall(t: Test, method: string, path: string, body: string | undefined): void {
  const fits = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path)
  const route = Object.keys(openapi.paths).find(fits) ?? ''
  const operation = openapi.paths[route]?.[method.toLowerCase()]
  t.ok(operation, `${method} ${path}`)
  if (body === undefined) return
  const inline = operation?.requestBody?.content['application/json']?.schema
  const schema = openapi.components.schemas[inline?.$ref?.split('/').at(-1) ?? ''] ?? inline
  const members = Object.keys(JSON.parse(body))
  for (const member of members) t.ok(Object.hasOwn(schema?.properties ?? {}, member), `${path} takes ${member}`)
  for (const member of schema?.required ?? []) t.ok(members.includes(member), `${path} gets ${member}`)
}

t.test('examples/simulator.yaml is a configuration for the ports where the simulator listens', async (t) => {
  const environment = createEnvironment({
    REDIS_URL: 'redis://127.0.0.1:6379/0',
    SEALING_KEY: Buffer.alloc(32, 7).toString('base64'),
    API_KEY_HASH: `sha256:${'0f'.repeat(32)}`
  })
  const config = await loadConfig({ path: join(ROOT, 'examples/simulator.yaml'), environment })
  const usage = helpOf('simulator', '--help')
  for (const key of ['us', 'eu']) {
    const port = new RegExp(`default: .*\\b${key}:(\\d+)`).exec(usage)?.[1]
    t.equal(config.dataCenters.get(key)?.accounts, `http://127.0.0.1:${port}`)
  }
})

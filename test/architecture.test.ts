import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MOST_LINES = { src: 250, test: 800 }
const DRAWERS = new Set(['index', 'util', 'utils', 'helper', 'helpers', 'common', 'misc', 'shared'])
const RULES = {
  size: 'a file of src has at most 250 lines, one of test 800',
  name: 'no file or folder of src is a drawer for whatever has no place',
  export: 'there are no default exports',
  layer: 'imports go one way: main, commands, compose, adapters, domain',
  simulator: 'only its command imports the simulator, which imports nothing of ours',
  compose: 'only commands, its own test and test/helpers import the composition root',
  package: 'each folder uses only the packages of its row',
  cycle: 'no file imports itself over others',
  environment: 'only config/environment.ts reads the environment',
  outbound: 'nothing calls out but the agent, the simulator and the demo'
} as const

type Rule = keyof typeof RULES

/** What a folder of `src` may import besides itself. `node:*` and `@fastify/*` stand for all of them. */
interface Row {
  readonly ours: readonly string[]
  readonly packages: readonly string[]
  /** Only by `import type`. */
  readonly types?: readonly string[]
  /** Only by `import()`, since the built program does not bring them along. */
  readonly dynamic?: readonly string[]
}

const ADAPTERS = ['config', 'http', 'jobs', 'observe', 'redis', 'sealing', 'zoho']
const FASTIFY = ['fastify', '@fastify/*', 'fastify-plugin']
const TABLE: { readonly [folder: string]: Row } = {
  main: { ours: ['commands', 'config'], packages: ['node:*'] },
  commands: {
    ours: ['compose', ...ADAPTERS, 'domain'],
    packages: ['node:*', 'close-with-grace', 'ioredis', 'yaml'],
    types: ['fastify', 'pino'],
    dynamic: ['testcontainers']
  },
  compose: {
    ours: [...ADAPTERS, 'domain'],
    packages: ['node:*'],
    types: ['fastify', 'ioredis', 'pino', 'prom-client']
  },
  config: { ours: ['domain'], packages: ['node:*', '@sinclair/typebox', 'yaml'] },
  http: { ours: ['domain'], packages: ['node:*', ...FASTIFY, '@sinclair/typebox', 'yaml'], types: ['ioredis'] },
  jobs: { ours: ['domain'], packages: ['node:*', 'bullmq'], types: ['ioredis'] },
  observe: { ours: ['domain'], packages: ['node:*', 'pino', 'prom-client'] },
  redis: { ours: ['domain'], packages: ['node:*', 'ioredis'] },
  sealing: { ours: ['domain'], packages: ['node:crypto'] },
  zoho: { ours: ['domain'], packages: ['node:*', '@fastify/oauth2', 'fastify', '@sinclair/typebox'] },
  simulator: { ours: [], packages: ['node:*', '@sinclair/typebox'] },
  domain: { ours: [], packages: ['node:util'] }
}

const SIMULATOR_COMMAND = 'src/commands/simulator.ts'
const ENVIRONMENT = 'src/config/environment.ts'
const MAY_COMPOSE = /^(src\/commands\/|src\/compose|test\/helpers\/|test\/compose)/
const MAY_CALL_OUT = /^src\/(simulator\/|zoho\/agent\.ts$|commands\/demo(-[a-z-]+)?\.ts$)/
/** What `node:http` offers a server; the rest of it, and all of the others, is a way out. */
const SERVER_SIDE = new Set(['createServer', 'Server', 'IncomingMessage', 'ServerResponse', 'STATUS_CODES', 'METHODS'])
const CLIENTS = new Set(['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'])
const GLOBALS = new Set(['globalThis', 'global', 'self'])

interface Fault {
  readonly rule: Rule
  readonly file: string
  readonly line: number
  readonly text: string
}

interface Import {
  readonly specifier: string
  readonly line: number
  readonly kind: 'value' | 'type' | 'dynamic'
  /** Names bound from it; `*` for all at once. */
  readonly names: readonly string[]
}

/** What one source says, as far as the rules ask. */
interface Source {
  readonly imports: Import[]
  readonly faults: Omit<Fault, 'file'>[]
}

/** Holds every rule against the given sources, by path (`src/…`, `test/…`). */
function check(files: ReadonlyMap<string, string>): Fault[] {
  const faults: Fault[] = []
  const edges = new Map<string, Import[]>()
  for (const [file, text] of files) {
    const source = read(file, text)
    const report = (rule: Rule, line: number, said: string) => faults.push({ rule, file, line, text: said })
    checkSize(file, text, report)
    if (file.startsWith('src/')) {
      checkName(file, report)
      for (const each of source.faults) report(each.rule, each.line, each.text)
      edges.set(file, source.imports)
    }
    for (const each of source.imports) checkImport(file, each, report)
  }
  return [...faults, ...cycles(edges)]
}

type Report = (rule: Rule, line: number, text: string) => void

function checkSize(file: string, text: string, report: Report): void {
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  const most = file.startsWith('src/') ? MOST_LINES.src : MOST_LINES.test
  if (lines > most) report('size', most + 1, `${lines} lines, at most ${most}`)
}

function checkName(file: string, report: Report): void {
  for (const part of file.replace(/\.ts$/, '').split('/').slice(1)) {
    if (DRAWERS.has(part)) report('name', 1, `"${part}" does not say what is in it`)
  }
}

function checkImport(file: string, imported: Import, report: Report): void {
  const { specifier, line } = imported
  if (!specifier.startsWith('.')) {
    if (file.startsWith('src/')) checkPackage(file, imported, report)
    return
  }
  const target = join(dirname(file), specifier)
  const to = folderOf(target)
  if (to === 'compose' && !MAY_COMPOSE.test(file)) report('compose', line, `imports ${target}`)
  if (!file.startsWith('src/')) return

  const from = folderOf(file)
  if (from === to) return
  if (to === 'simulator' || from === 'simulator') {
    if (file !== SIMULATOR_COMMAND || to !== 'simulator') report('simulator', line, `imports ${target}`)
  } else if (!TABLE[from]?.ours.includes(to) || (from === 'main' && to === 'config' && target !== ENVIRONMENT)) {
    report('layer', line, TABLE[from] ? `${from} imports ${target}` : `src/${from} has no row in the table`)
  }
}

/** The row of a file: its folder in `src`, or `main` and `compose` for the files beside the folders. */
function folderOf(file: string): string {
  const [top, folder = ''] = file.split('/')
  if (top !== 'src') return `outside src (${file})`
  return folder.replace(/\.ts$/, '').replace(/^compose-.*/, 'compose')
}

function checkPackage(file: string, { specifier, line, kind, names }: Import, report: Report): void {
  const { packages = [], types = [], dynamic = [] } = TABLE[folderOf(file)] ?? {}
  const listed = (list: readonly string[]) =>
    list.some((name) =>
      name.endsWith('*')
        ? specifier.startsWith(name.slice(0, -1))
        : specifier === name || specifier.startsWith(`${name}/`)
    )
  if (listed(packages)) {
    const way = /^node:(http|https|http2)$/.test(specifier) && kind !== 'type'
    const serves = specifier === 'node:http' && kind === 'value' && names.every((name) => SERVER_SIDE.has(name))
    if (way && !serves && !MAY_CALL_OUT.test(file)) report('outbound', line, `imports ${specifier}`)
  } else if (listed(types) || listed(dynamic)) {
    const wanted = listed(types) ? 'type' : 'dynamic'
    if (kind !== 'type' && kind !== wanted)
      report('package', line, `imports ${specifier} other than by ${wanted} import`)
  } else {
    report('package', line, `imports ${specifier}`)
  }
}

/** One fault for each import that closes a circle, types included. */
function cycles(edges: ReadonlyMap<string, readonly Import[]>): Fault[] {
  const faults: Fault[] = []
  const done = new Set<string>()
  const visit = (file: string, way: readonly string[]): void => {
    for (const { specifier, line } of edges.get(file) ?? []) {
      if (!specifier.startsWith('.')) continue
      const target = join(dirname(file), specifier)
      const start = [...way, file].indexOf(target)
      if (start >= 0) {
        faults.push({ rule: 'cycle', file, line, text: [...way.slice(start), file, target].join(' -> ') })
      } else if (!done.has(target)) {
        visit(target, [...way, file])
      }
    }
    done.add(file)
  }
  for (const file of edges.keys()) if (!done.has(file)) visit(file, [])
  return faults
}

/** Reads a source by its syntax, so that comments and strings say nothing. */
function read(file: string, text: string): Source {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const source: Source = { imports: [], faults: [] }
  const lineOf = (node: ts.Node) => tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1
  const visit = (node: ts.Node): void => {
    const line = lineOf(node)
    const imported = importOf(node)
    if (imported) source.imports.push({ ...imported, line })
    const fault = faultOf(node, file)
    if (fault) source.faults.push({ ...fault, line })
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return source
}

function importOf(node: ts.Node): Omit<Import, 'line'> | undefined {
  if (ts.isImportDeclaration(node)) {
    const clause = node.importClause
    const kind = clause?.isTypeOnly ? 'type' : 'value'
    return { specifier: textOf(node.moduleSpecifier), kind, names: namesOf(clause) }
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
    return { specifier: textOf(node.moduleSpecifier), kind: node.isTypeOnly ? 'type' : 'value', names: ['*'] }
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return { specifier: textOf(node.argument.literal), kind: 'type', names: [] }
  }
  if (ts.isCallExpression(node) && node.arguments[0]) {
    const [name] = node.arguments
    const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword
    const isRequire =
      ts.isIdentifier(node.expression) && node.expression.text === 'require' && ts.isStringLiteralLike(name)
    // A computed name shows up as a package that nobody may use.
    if (isImport || isRequire) return { specifier: textOf(name), kind: 'dynamic', names: ['*'] }
  }
  return undefined
}

function textOf(node: ts.Node): string {
  return ts.isStringLiteralLike(node) ? node.text : `a computed name (${node.getText()})`
}

function namesOf(clause: ts.ImportClause | undefined): string[] {
  const bindings = clause?.namedBindings
  const named = bindings && ts.isNamedImports(bindings) ? bindings.elements : undefined
  const values = named?.filter((each) => !each.isTypeOnly).map((each) => (each.propertyName ?? each.name).text) ?? []
  return clause?.name || (bindings && !named) ? [...values, '*'] : values
}

function faultOf(node: ts.Node, file: string): Pick<Fault, 'rule' | 'text'> | undefined {
  if (isDefaultExport(node)) return { rule: 'export', text: 'default export' }
  if (file !== ENVIRONMENT && readsEnvironment(node)) return { rule: 'environment', text: node.getText() }
  if (!MAY_CALL_OUT.test(file) && callsOut(node)) return { rule: 'outbound', text: `uses ${node.getText()}` }
  return undefined
}

function isDefaultExport(node: ts.Node): boolean {
  if (ts.isExportAssignment(node)) return true
  if (ts.isExportSpecifier(node)) return node.name.text === 'default'
  return (
    ts.canHaveModifiers(node) && !!ts.getModifiers(node)?.some((each) => each.kind === ts.SyntaxKind.DefaultKeyword)
  )
}

function readsEnvironment(node: ts.Node): boolean {
  if (ts.isImportSpecifier(node)) {
    return (
      (node.propertyName ?? node.name).text === 'env' &&
      textOf(node.parent.parent.parent.moduleSpecifier).endsWith('process')
    )
  }
  if (ts.isElementAccessExpression(node)) return isProcess(node.expression) && textOf(node.argumentExpression) === 'env'
  if (ts.isPropertyAccessExpression(node)) return isProcess(node.expression) && node.name.text === 'env'
  // const { env } = process
  return ts.isVariableDeclaration(node) && !!node.initializer && isProcess(node.initializer)
}

function isProcess(node: ts.Expression): boolean {
  if (ts.isIdentifier(node)) return node.text === 'process'
  return ts.isPropertyAccessExpression(node) && node.name.text === 'process' && isGlobal(node.expression)
}

function isGlobal(node: ts.Node): boolean {
  return ts.isIdentifier(node) && GLOBALS.has(node.text)
}

/** A client of the platform, by its bare name or as a member of the global object. */
function callsOut(node: ts.Node): boolean {
  if (!ts.isIdentifier(node) || !CLIENTS.has(node.text)) return false
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return isGlobal(parent.expression)
  return ts.isExpression(parent) || ts.isVariableDeclaration(parent) || ts.isShorthandPropertyAssignment(parent)
}

const say = ({ file, line, text }: Fault) => `${file}:${line} ${text}`

function project(): Map<string, string> {
  const files = globSync(['src/**/*.ts', 'test/**/*.ts'], { cwd: ROOT })
  return new Map(files.sort().map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))
}

t.test('of this project', async (t) => {
  const files = project()
  t.ok(files.has('src/domain/connection.ts') && files.has('test/architecture.test.ts'), 'its files were found')
  const faults = check(files)
  for (const [rule, promise] of Object.entries(RULES)) {
    t.strictSame(faults.filter((fault) => fault.rule === rule).map(say), [], promise)
  }
})

t.test('every dependency says in docs/dependencies.md what it is for, and nothing else does', async (t) => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const page = readFileSync(join(ROOT, 'docs/dependencies.md'), 'utf8')
  const told = [...page.matchAll(/^\| `([^`]+)` \| \S.* \| \S.* \|$/gm)].map(([, name]) => name)
  t.strictSame(told.sort(), Object.keys({ ...dependencies, ...devDependencies }).sort())
})

t.test('a planted fault is found', async (t) => {
  /** The faults in made-up sources, as `rule file:line`. */
  const found = (files: Record<string, string>) =>
    check(new Map(Object.entries(files))).map(({ rule, file, line }) => `${rule} ${file}:${line}`)
  const one = (file: string, ...lines: string[]) => found({ [file]: lines.join('\n') })
  const lines = (count: number) => '// x\n'.repeat(count)

  t.test(RULES.size, async (t) => {
    t.strictSame(found({ 'src/http/a.ts': lines(250), 'test/a.test.ts': lines(800) }), [])
    t.strictSame(found({ 'src/http/a.ts': lines(251) }), ['size src/http/a.ts:251'])
    t.strictSame(found({ 'test/a.test.ts': lines(801) }), ['size test/a.test.ts:801'])
  })

  t.test(RULES.name, async (t) => {
    t.strictSame(one('src/http/utils.ts'), ['name src/http/utils.ts:1'])
    t.strictSame(one('src/redis/helpers/a.ts'), ['name src/redis/helpers/a.ts:1'])
    t.strictSame(one('src/redis/index.ts'), ['name src/redis/index.ts:1'])
    t.strictSame(one('src/redis/due-index.ts'), [])
  })

  t.test(RULES.export, async (t) => {
    for (const bad of ['export default 1', 'export default function a() {}', 'const a = 1\nexport { a as default }']) {
      t.match(one('src/http/a.ts', bad), [/^export src\/http\/a\.ts:/], bad)
    }
    t.strictSame(one('src/http/a.ts', 'export const a = 1 // no export default'), [])
  })

  t.test(RULES.layer, async (t) => {
    t.strictSame(one('src/domain/a.ts', '', "import type { B } from '../http/b.ts'"), ['layer src/domain/a.ts:2'])
    t.strictSame(one('src/redis/a.ts', "import { b } from '../sealing/b.ts'"), ['layer src/redis/a.ts:1'])
    t.strictSame(one('src/http/api/a.ts', "export { b } from '../../redis/b.ts'"), ['layer src/http/api/a.ts:1'])
    t.strictSame(one('src/config/a.ts', "const b = await import('../zoho/b.ts')"), ['layer src/config/a.ts:1'])
    t.strictSame(one('src/zoho/a.ts', "type B = import('../observe/b.ts').B"), ['layer src/zoho/a.ts:1'])
    t.strictSame(one('src/main.ts', "import { b } from './config/load.ts'"), ['layer src/main.ts:1'])
    t.strictSame(one('src/jobs/a.ts', "import x from '../../package.json'"), ['layer src/jobs/a.ts:1'])
    t.strictSame(one('src/attic/a.ts', "import { b } from '../domain/b.ts'"), ['layer src/attic/a.ts:1'])
    t.strictSame(one('src/compose.ts', "import { serve } from './commands/serve.ts'"), ['layer src/compose.ts:1'])
    const good = {
      'src/main.ts': "import './config/environment.ts'\nawait import('./commands/serve.ts')",
      'src/commands/serve.ts': "import { compose } from '../compose.ts'\nimport '../domain/a.ts'",
      'src/compose.ts': "import '../src/http/servers.ts'\nimport './redis/clients.ts'",
      'src/http/api/a.ts': "import '../problem.ts'\nimport '../../domain/a.ts'"
    }
    t.strictSame(found(good), [])
  })

  t.test(RULES.simulator, async (t) => {
    const use = "import { simulate } from '../simulator/server.ts'"
    t.strictSame(one('src/commands/simulator.ts', use), [])
    t.strictSame(one('src/commands/demo.ts', use), ['simulator src/commands/demo.ts:1'])
    t.strictSame(one('src/compose.ts', "import './simulator/server.ts'"), ['simulator src/compose.ts:1'])
    t.strictSame(one('src/simulator/a.ts', "import '../domain/secret.ts'"), ['simulator src/simulator/a.ts:1'])
  })

  t.test(RULES.compose, async (t) => {
    const use = "import { compose } from '../../src/compose.ts'"
    t.strictSame(found({ 'test/helpers/a.ts': use, 'test/compose/a.test.ts': use }), [])
    t.strictSame(one('test/http/a.test.ts', use), ['compose test/http/a.test.ts:1'])
    t.strictSame(one('src/http/a.ts', "import '../compose.ts'"), ['compose src/http/a.ts:1', 'layer src/http/a.ts:1'])
  })

  t.test(RULES.package, async (t) => {
    t.strictSame(one('src/domain/a.ts', "import 'node:util'", "import 'node:crypto'"), ['package src/domain/a.ts:2'])
    t.strictSame(one('src/http/a.ts', "import { Redis } from 'ioredis'"), ['package src/http/a.ts:1'])
    t.strictSame(one('src/http/a.ts', "import type { Redis } from 'ioredis'"), [])
    t.strictSame(one('src/commands/a.ts', "import 'testcontainers'"), ['package src/commands/a.ts:1'])
    t.strictSame(one('src/commands/a.ts', "await import('testcontainers')"), [])
    t.strictSame(one('src/redis/a.ts', "import { request } from 'undici'"), ['package src/redis/a.ts:1'])
    t.strictSame(one('src/redis/a.ts', "import 'ioredis-mock'"), ['package src/redis/a.ts:1'])
    t.strictSame(one('src/redis/a.ts', 'await import(name)'), ['package src/redis/a.ts:1'])
    t.strictSame(one('src/redis/a.ts', "const x = require('axios')"), ['package src/redis/a.ts:1'])
    t.strictSame(one('src/redis/a.ts', 'require(consumer)'), [], 'a function of ours with that name')
    t.strictSame(one('src/redis/a.ts', "// import 'undici'", 'const a = "import \'undici\'"'), [])
  })

  t.test(RULES.cycle, async (t) => {
    const circle = {
      'src/domain/a.ts': "import './b.ts'",
      'src/domain/b.ts': "\nimport type { C } from './c.ts'",
      'src/domain/c.ts': "import './a.ts'\nimport './d.ts'",
      'src/domain/d.ts': ''
    }
    t.strictSame(found(circle), ['cycle src/domain/c.ts:1'])
    t.strictSame(one('src/domain/a.ts', "import './a.ts'"), ['cycle src/domain/a.ts:1'])
    const diamond = {
      ...circle,
      'src/domain/c.ts': "import './d.ts'",
      'src/domain/a.ts': "import './b.ts'\nimport './d.ts'"
    }
    t.strictSame(found(diamond), [])
  })

  t.test(RULES.environment, async (t) => {
    const reads = ['process.env.A', "process['env']", 'globalThis.process.env', 'const { env } = process']
    for (const bad of [...reads, "import { env } from 'node:process'"]) {
      t.strictSame(one('src/http/a.ts', '', bad), ['environment src/http/a.ts:2'], bad)
      t.strictSame(one('src/config/environment.ts', bad), [], bad)
    }
    t.strictSame(one('src/http/a.ts', '// process.env', 'process.exit(1)', 'input.env'), [])
  })

  t.test(RULES.outbound, async (t) => {
    const clients = [
      'await fetch(url)',
      'globalThis.fetch(url)',
      'const call = fetch',
      'run({ fetch })',
      'new WebSocket(url)'
    ]
    const modules = [
      "import https from 'node:https'",
      "import { request } from 'node:http'",
      "import * as http from 'node:http'",
      "import { connect } from 'node:http2'",
      "await import('node:https')"
    ]
    for (const bad of [...clients, ...modules]) {
      t.strictSame(one('src/http/a.ts', bad), ['outbound src/http/a.ts:1'], bad)
      for (const file of [
        'src/zoho/agent.ts',
        'src/simulator/a.ts',
        'src/commands/demo.ts',
        'src/commands/demo-steps.ts'
      ]) {
        t.strictSame(one(file, bad), [], `${bad} in ${file}`)
      }
    }
    const good = ["import type { Agent } from 'node:https'", "import { STATUS_CODES, type Agent } from 'node:http'"]
    t.strictSame(one('src/http/a.ts', ...good, 'store.fetch(1)', 'type A = { fetch(): void }', '// fetch(url)'), [])
  })
})

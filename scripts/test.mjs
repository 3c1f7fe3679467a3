// What `npm test` runs under Node 24: lint, types, then tap with one Redis for the whole run.
// Arguments go to tap (`npm test -- test/domain/policy.test.ts`) and leave lint and types out.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findRedis } from '../src/commands/redis.ts'
import { countTap } from './count-tap.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const results = join(root, '.tap', 'test-results')
const path = [join(root, 'node_modules', '.bin'), dirname(process.execPath), process.env.PATH].join(delimiter)
const args = process.argv.slice(2)

let running
let stopped
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    stopped = signal
    // The terminal has sent an interrupt to the child too.
    if (signal !== 'SIGINT') running?.kill(signal)
  })
}

/** Runs a tool to its end and returns its exit code, 128 + signal for a killed one. `show` gets its lines one by one. */
async function run(tool, toolArgs, { env = {}, show } = {}) {
  if (stopped) return 128 + constants.signals[stopped]
  running = spawn(tool, toolArgs, {
    cwd: root,
    stdio: ['inherit', show ? 'pipe' : 'inherit', 'inherit'],
    env: { ...process.env, PATH: path, ...env }
  })
  if (show) createInterface(running.stdout).on('line', show)
  const [code, signal] = await once(running, 'close').catch((error) => {
    console.error(error.code === 'ENOENT' ? `there is no ${tool}: run "npm ci" first` : error)
    return [127]
  })
  return code ?? 128 + constants.signals[signal]
}

/** In a terminal tap draws by itself; in a log one line a file is enough, the failures follow at the end. */
async function runTap(env) {
  if (process.stdout.isTTY) return run('tap', args, { env })
  const show = (line) => {
    if (/^(ok|not ok|Bail out!)/.test(line)) console.log(line.replace(/ \{$/, ''))
  }
  return run('tap', ['--reporter=tap', ...args], { env, show })
}

async function redis() {
  const url = process.env.TEST_REDIS_URL
  if (url) return { url, source: 'TEST_REDIS_URL', stop: async () => {} }
  const log = (line) => console.error(`redis: ${line}`)
  return findRedis({ env: process.env, log, prefer: 'container' })
}

/** The totals over all result files. A run that failed without a failed point counts as one. */
function count(tapCode) {
  const totals = { passed: 0, failed: 0, skipped: 0, failures: [] }
  for (const file of globSync('**/*.tap', { cwd: results })) {
    const { passed, failed, skipped, failures } = countTap(readFileSync(join(results, file), 'utf8'))
    totals.passed += passed
    totals.failed += failed
    totals.skipped += skipped
    totals.failures.push(...failures.map((failure) => `${file.replace(/\.tap$/, '')}: ${failure}`))
  }
  if (tapCode !== 0 && totals.failed === 0) totals.failed = 1
  return totals
}

const codes = {}
if (args.length === 0) {
  codes.lint = await run('biome', ['check', '.'])
  codes.types = await run('tsc', ['-p', 'tsconfig.json'])
}
// The flow tests run the built program; test files that build it themselves at the same time would trip each other.
codes.build = await run('tsc', ['-p', 'tsconfig.build.json'])
rmSync(results, { recursive: true, force: true })
const found = await redis().catch((error) => console.error(error.message))
try {
  codes.tap = found ? await runTap({ TEST_REDIS_URL: found.url }) : 1
} finally {
  await found?.stop()
}

const totals = count(codes.tap)
if (!process.stdout.isTTY) for (const failure of totals.failures) console.log(`\nnot ok ${failure}`)
for (const step of ['lint', 'types', 'build']) {
  if (codes[step]) {
    console.log(`${step}: failed, counted as one failure`)
    totals.failed++
  }
}
console.log(`Redis for the tests: ${found?.source ?? 'none'}`)
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exitCode = Object.values(codes).find((code) => code !== 0) ?? 0

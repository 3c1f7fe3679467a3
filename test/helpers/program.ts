import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import type { Teardown } from './tcp-proxy.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const program = join(root, 'dist/main.js')

/** A process of the built program. */
export interface BrokerProcess {
  readonly origins: { readonly public: string; readonly api: string; readonly management: string }
  readonly pid: number
  /** Everything it printed so far. */
  output(): string
  /** SIGKILL, SIGTERM, SIGSTOP or SIGCONT, to this process alone. */
  signal(name: NodeJS.Signals): void
  /** Resolves to how it ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  ready(): Promise<void>
}

/** Builds `dist/` if a source is newer. `npm test` has done so before. */
export async function builtProgram(): Promise<string> {
  const newest = Math.max(...globSync('src/**/*.ts', { cwd: root }).map((file) => statSync(join(root, file)).mtimeMs))
  const built = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (built < newest)
    await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: root })
  return program
}

/** Runs a command of the built program to its end. */
export async function runProgram(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [await builtProgram(), ...args], { env: { ...process.env, ...env } })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}

/** Starts a broker with this configuration (as YAML would hold it). Addresses with port 0 are chosen by the system. */
export async function startBroker(t: Teardown, config: object, args: readonly string[] = []): Promise<BrokerProcess> {
  const dir = await mkdtemp(join(tmpdir(), 'ztb-test-'))
  await writeFile(join(dir, 'broker.yaml'), stringify(config))
  const child = spawn(process.execPath, [await builtProgram(), 'serve', '--config', join(dir, 'broker.yaml'), ...args])
  let output = ''
  const printed = new EventTarget()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
      printed.dispatchEvent(new Event('text'))
    })
  }
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal }))
  )
  t.teardown(async () => {
    end(child)
    await ended
    await rm(dir, { recursive: true, force: true })
  })
  const origins = await new Promise<BrokerProcess['origins']>((resolve, reject) => {
    const look = () => {
      const line = output.split('\n').find((each) => each.includes('"listening":{') && each.endsWith('}'))
      if (line) resolve(JSON.parse(line).listening)
    }
    printed.addEventListener('text', look)
    ended.then(({ code }) => reject(new Error(`the broker ended with ${code}: ${output}`)))
  })
  const broker: BrokerProcess = {
    origins,
    pid: child.pid as number,
    output: () => output,
    signal: (name) => void child.kill(name),
    ended,
    ready: () => until('the broker is ready', async () => (await fetch(`${origins.management}/readyz`)).ok)
  }
  return broker
}

/** Polls a fact; rejects when it is not true in time. */
export async function until(what: string, fact: () => Promise<boolean> | boolean, deadlineMs = 15_000): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!(await fact())) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function end(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  // A stopped process takes the signal all the same.
  child.kill('SIGCONT')
}

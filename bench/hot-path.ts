import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { stringify } from 'yaml'
import { findRedis } from '../src/commands/redis.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { load } from './load.ts'

/**
 * What a token costs: CPU per request of a bare Fastify route divided by ours, in interleaved pairs on one machine.
 * 1 = as cheap as the bare route. Times are never compared with anything but each other. Linux only (/proc).
 */
const PAIRS = 8
const RUN_MS = 1500
const CONNECTIONS = [100, 1]
const TENANTS = 200

const say = (line: string) => process.stdout.write(`${line}\n`)
const redis = await findRedis({ env: process.env, log: say })
const simulator = await startSimulator({})
const directory = await mkdtemp(join(tmpdir(), 'ztb-bench-'))
const children: ChildProcess[] = []
try {
  const key = randomBytes(24).toString('hex')
  const config = await writeConfig(key)
  const bare = await start('bench/bare-server.ts', [], (line) => line)
  const broker = await start('src/main.ts', ['serve', '--role', 'api', '--config', config], (line) =>
    line.includes('"listening"') ? String(JSON.parse(line).listening.api) : undefined
  )
  await importGrants(broker.origin, key)
  const ours = {
    url: `${broker.origin}/v1/tenants/acme/connections/c0/token`,
    headers: { authorization: `Bearer ${key}` },
    pid: broker.pid
  }
  const base = { url: `${bare.origin}/token`, headers: { authorization: `Bearer ${key}` }, pid: bare.pid }
  for (const connections of CONNECTIONS) {
    await Promise.all([measure(base, connections), measure(ours, connections)])
    const pairs = []
    for (let i = 0; i < PAIRS; i++) {
      const order = i % 2 === 0 ? [base, ours] : [ours, base]
      const [first, second] = [
        await measure(order[0] as Target, connections),
        await measure(order[1] as Target, connections)
      ]
      pairs.push(i % 2 === 0 ? { base: first, ours: second } : { base: second, ours: first })
    }
    report(connections, pairs)
  }
} finally {
  for (const child of children) child.kill('SIGTERM')
  await simulator.close()
  await redis.stop()
  await rm(directory, { recursive: true, force: true })
}

interface Target {
  readonly url: string
  readonly headers: Record<string, string>
  readonly pid: number
}

interface Measured {
  readonly cpuUs: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

async function measure({ url, headers, pid }: Target, connections: number): Promise<Measured> {
  const before = await cpuUs(pid)
  const { answered, latencies } = await load(url, { headers, connections, ms: RUN_MS })
  const used = (await cpuUs(pid)) - before
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0
  return { cpuUs: used / answered, perSecond: answered / (RUN_MS / 1000), p50: at(0.5), p99: at(0.99) }
}

function report(connections: number, pairs: readonly { base: Measured; ours: Measured }[]): void {
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number
  const ratio = median(pairs.map(({ base, ours }) => base.cpuUs / ours.cpuUs))
  const least = (of: 'base' | 'ours') => Math.min(...pairs.map((pair) => pair[of].cpuUs))
  const of = (pick: (pair: { base: Measured; ours: Measured }) => number) => median(pairs.map(pick))
  say(
    `${connections} connections: CPU ratio ${ratio.toFixed(2)} (median of ${PAIRS} pairs), ${(least('base') / least('ours')).toFixed(2)} (min/min)`
  )
  say(`  us per request: bare ${of((p) => p.base.cpuUs).toFixed(1)}, token ${of((p) => p.ours.cpuUs).toFixed(1)}`)
  say(
    `  requests/s ratio ${of((p) => p.ours.perSecond / p.base.perSecond).toFixed(2)}, p50 ${of((p) => p.ours.p50).toFixed(2)} ms (bare ${of((p) => p.base.p50).toFixed(2)}), p99 ratio ${of((p) => p.ours.p99 / p.base.p99).toFixed(2)}`
  )
}

/** User and system time of a process in microseconds. */
async function cpuUs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

async function start(
  file: string,
  args: string[],
  find: (line: string) => string | undefined
): Promise<{ origin: string; pid: number }> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)))
    const lines = createInterface(child.stdout)
    lines.on('line', (line) => {
      const origin = find(line)
      if (origin === undefined) return
      // What follows is one audit line per token: read and thrown away.
      lines.close()
      child.stdout.resume()
      resolve({ origin, pid: child.pid as number })
    })
  })
}

async function importGrants(origin: string, key: string): Promise<void> {
  for (let i = 0; i < TENANTS; i++) {
    const grant = simulator.controls.createGrant({ data_center: 'us', scopes: ['Desk.tickets.READ'] })
    const answer = await fetch(`${origin}/v1/tenants/acme/connections/c${i}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ app: 'desk', data_center: 'us', refresh_token: grant.refresh_token })
    })
    if (!answer.ok) throw new Error(`import: ${answer.status} ${await answer.text()}`)
  }
}

async function writeConfig(key: string): Promise<string> {
  const [client] = simulator.controls.listClients().clients
  const us = simulator.dataCenters.us as string
  const file = join(directory, 'broker.yaml')
  const secret = Object.values(client?.secrets ?? {})[0]
  await writeFile(
    file,
    stringify({
      public_url: 'http://127.0.0.1:8080',
      listen: { public: '127.0.0.1:0', api: '127.0.0.1:0', management: '127.0.0.1:0' },
      redis: { url: redis.url, prefix: `ztb-bench-${randomBytes(4).toString('hex')}` },
      sealing: { keys: [{ id: 'bench', key: randomBytes(32).toString('base64') }] },
      data_centers: { us: { accounts: us, api: us, desk: us } },
      apps: {
        desk: {
          product: 'desk',
          client_id: client?.client_id,
          client_secret: secret,
          scopes: ['Desk.tickets.READ'],
          data_centers: ['us'],
          start_at: 'us'
        }
      },
      consumers: {
        bench: {
          keys: [`sha256:${createHash('sha256').update(key).digest('hex')}`],
          allow: [{ actions: ['token', 'connect'], tenants: ['*'], connections: ['*'] }]
        }
      },
      limits: { token: { per_second: 1_000_000, burst: 1_000_000 }, admin_per_minute: 100_000 },
      shutdown: { drain_ms: 0 }
    })
  )
  return file
}

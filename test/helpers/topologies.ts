import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster, Redis } from 'ioredis'
import { freePort } from '../../src/commands/redis-probe.ts'
import type { RedisTarget, RedisTls } from '../../src/redis/topology.ts'
import { until } from './program.ts'
import { type RedisProcess, startRedisProcess } from './redis.ts'
import type { Teardown } from './tcp-proxy.ts'

/** Several servers as one store, with a primary that a test may kill. */
export interface Topology {
  readonly target: RedisTarget
  /** The same as the configuration file says it. */
  readonly settings: object
  /** A client of the whole, disconnected with the test. */
  client(): Redis
  /** Every server that holds data. */
  readonly servers: readonly RedisProcess[]
  /** The server that takes writes of a key now. */
  primaryOf(key: string): Promise<RedisProcess>
}

/** Sentinels and cluster nodes give a primary up after this silence, in ms. */
const DOWN_AFTER_MS = 1000

/** A primary with two replicas that three sentinels watch. */
export async function startSentinel(t: Teardown): Promise<Topology> {
  const settings = { 'repl-diskless-sync-delay': '0' }
  const servers = await Promise.all([1, 2, 3].map(() => startRedisProcess(t, { settings })))
  const [primary, ...replicas] = servers as [RedisProcess, ...RedisProcess[]]
  await Promise.all(replicas.map((each) => replicate(each, primary)))
  const sentinels = await Promise.all([1, 2, 3].map(() => startOneSentinel(t, primary.port)))
  const asked = sentinels.map((each) => each.client())
  await until('the sentinels know each other and the replicas', async () => {
    const views = await Promise.all(asked.map((each) => viewOf(each)))
    return views.every((view) => view['num-other-sentinels'] === '2' && view['num-slaves'] === '2')
  })
  const nodes = sentinels.map(({ port }) => ({ host: '127.0.0.1', port }))

  return {
    target: { kind: 'sentinel', sentinels: nodes, name: 'main', database: 0 },
    settings: { sentinels: nodes.map(({ host, port }) => `${host}:${port}`), name: 'main' },
    servers,
    client: () => ended(t, new Redis({ sentinels: nodes, name: 'main' })),
    async primaryOf() {
      // A sentinel names the new primary before it has ended the failover; its own record changes with the end.
      const ports = await Promise.all(asked.map(async (each) => Number((await viewOf(each)).port)))
      return servers.find(({ port }) => ports.every((each) => each === port)) ?? primary
    }
  }
}

async function startOneSentinel(t: Teardown, primaryPort: number): Promise<RedisProcess> {
  const dir = await mkdtemp(join(tmpdir(), 'ztb-test-sentinel-'))
  const file = join(dir, 'sentinel.conf')
  const lines = [
    `monitor main 127.0.0.1 ${primaryPort} 2`,
    `down-after-milliseconds main ${DOWN_AFTER_MS}`,
    'failover-timeout main 3000',
    'parallel-syncs main 2'
  ]
  await writeFile(file, lines.map((line) => `sentinel ${line}\n`).join(''))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return startRedisProcess(t, { dir, first: [file, '--sentinel'] })
}

async function viewOf(sentinel: Redis): Promise<Record<string, string>> {
  const pairs = (await sentinel.call('SENTINEL', 'MASTER', 'main')) as string[]
  return Object.fromEntries(pairs.flatMap((name, i) => (i % 2 === 0 ? [[name, pairs[i + 1] as string]] : [])))
}

/** Three primaries with a replica each, the slots shared evenly. */
export async function startCluster(t: Teardown): Promise<Topology> {
  const nodes = await Promise.all([0, 1, 2, 3, 4, 5].map(() => startClusterNode(t)))
  const servers = nodes.map(({ server }) => server)
  const clients = servers.map((each) => each.client())
  const [first, ...others] = clients as [Redis, ...Redis[]]
  for (const [i, client] of clients.entries()) await client.cluster('SET-CONFIG-EPOCH', i + 1)
  for (const i of others.keys()) {
    const { server, busPort } = nodes[i + 1] as ClusterNode
    await first.call('CLUSTER', 'MEET', '127.0.0.1', String(server.port), String(busPort))
  }
  await Promise.all(
    [0, 1, 2].map((i) => {
      const [from, to] = [Math.ceil((16_384 / 3) * i), Math.ceil((16_384 / 3) * (i + 1)) - 1]
      return clients[i]?.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
    })
  )
  const ids = await Promise.all(clients.map((each) => each.cluster('MYID')))
  const known = async (client: Redis) => (await client.cluster('INFO')).includes('cluster_known_nodes:6')
  await until('the nodes know each other', async () => (await Promise.all(clients.map(known))).every(Boolean))
  await Promise.all([3, 4, 5].map((i) => clients[i]?.cluster('REPLICATE', ids[i - 3] as string)))
  await until('the cluster is whole', async () => (await Promise.all(clients.map(isWhole))).every(Boolean))
  const seeds = servers.slice(0, 3).map(({ port }) => ({ host: '127.0.0.1', port }))

  return {
    target: { kind: 'cluster', nodes: seeds },
    settings: { cluster: seeds.map(({ host, port }) => `${host}:${port}`) },
    servers,
    client: () => ended(t, new Cluster(seeds) as unknown as Redis),
    async primaryOf(key) {
      const slot = await askAny(clients, (client) => client.cluster('KEYSLOT', key))
      const slots = await askAny(clients, (client) => client.cluster('SLOTS'))
      const port = slots.find(([from, to]) => from <= slot && slot <= to)?.[2]?.[1]
      return servers.find((each) => each.port === port) as RedisProcess
    }
  }
}

interface ClusterNode {
  readonly server: RedisProcess
  readonly busPort: number
}

async function startClusterNode(t: Teardown): Promise<ClusterNode> {
  const busPort = await freePort()
  const server = await startRedisProcess(t, {
    settings: {
      'cluster-enabled': 'yes',
      'cluster-port': String(busPort),
      'cluster-node-timeout': String(DOWN_AFTER_MS),
      'repl-diskless-sync-delay': '0'
    }
  })
  return { server, busPort }
}

async function isWhole(client: Redis): Promise<boolean> {
  const [state, replication] = await Promise.all([client.cluster('INFO'), client.info('replication')])
  return state.includes('cluster_state:ok') && /role:master|master_link_status:up/.test(replication)
}

/** The answer of the first that lives. */
async function askAny<T>(clients: readonly Redis[], ask: (client: Redis) => Promise<T>): Promise<T> {
  return Promise.any(clients.filter(({ status }) => status === 'ready').map(ask))
}

/** Makes a server the replica of another and waits until it follows. */
export async function replicate(replica: RedisProcess, primary: RedisProcess): Promise<void> {
  const client = replica.client()
  await client.replicaof('127.0.0.1', primary.port)
  await until('the replica follows', async () => (await client.info('replication')).includes('master_link_status:up'))
}

/** A server that also speaks TLS and asks for a client certificate; all certificates are one of a CA of our own. */
export async function startTls(t: Teardown): Promise<{
  readonly server: RedisProcess
  readonly url: string
  readonly tls: Required<Pick<RedisTls, 'ca' | 'cert'>> & { readonly key: string }
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string }
}> {
  const dir = await mkdtemp(join(tmpdir(), 'ztb-test-tls-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const at = (name: string) => join(dir, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' })
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  openssl('req', '-x509', ...ec, '-subj', '/CN=test-ca', '-keyout', 'ca.key', '-out', 'ca.crt')
  openssl('req', ...ec.slice(0, 5), '-subj', '/CN=redis', '-keyout', 'own.key', '-out', 'own.csr')
  await writeFile(at('san'), 'subjectAltName=IP:127.0.0.1\n')
  const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san']
  openssl('x509', '-req', '-in', 'own.csr', ...sign, '-out', 'own.crt')
  const files = { ca: at('ca.crt'), cert: at('own.crt'), key: at('own.key') }
  const tlsPort = await freePort()
  const server = await startRedisProcess(t, {
    settings: {
      'tls-port': String(tlsPort),
      'tls-ca-cert-file': files.ca,
      'tls-cert-file': files.cert,
      'tls-key-file': files.key,
      'tls-auth-clients': 'yes'
    }
  })
  const [ca, cert, key] = await Promise.all([files.ca, files.cert, files.key].map((file) => readFile(file, 'utf8')))
  return {
    server,
    url: `rediss://127.0.0.1:${tlsPort}`,
    tls: { ca: ca as string, cert: cert as string, key: key as string },
    files
  }
}

function ended(t: Teardown, client: Redis): Redis {
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

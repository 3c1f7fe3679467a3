import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'
import type { RedisLogin, RedisTarget, RedisTls } from './topology.ts'

/** What a client of any topology is opened with; the rest is the same for all tempers. */
export interface Temper {
  readonly connectionName: string
  readonly socketTimeout: number
  readonly commandTimeout?: number
  /** Commands wait for a reconnect and are sent again after it, as long as it takes. */
  readonly patient?: boolean
  readonly autoResubscribe?: boolean
  readonly scripts?: NonNullable<ClusterOptions['scripts']>
}

/** ioredis' own, without the one member that changes the client's type. */
type Options = Omit<RedisOptions, 'replyMapping'>

/** MOVED, ASK, CLUSTERDOWN and TRYAGAIN say that nothing ran: sent again, for about as long as a request waits for a command. */
const QUICK_REDIRECTIONS: ClusterOptions = {
  enableOfflineQueue: false,
  maxRedirections: 6,
  retryDelayOnMoved: 0,
  retryDelayOnClusterDown: 40,
  retryDelayOnTryAgain: 20,
  // A command whose connection broke may have run: it fails, as on a single server.
  retryDelayOnFailover: 0
}

const PATIENT_REDIRECTIONS: ClusterOptions = {
  enableOfflineQueue: true,
  maxRedirections: Number.MAX_SAFE_INTEGER,
  retryDelayOnMoved: 100,
  retryDelayOnClusterDown: 200,
  retryDelayOnTryAgain: 100,
  retryDelayOnFailover: 200
}

/** How often a cluster's map is read without a reason, so that a changed one costs few redirections. */
const SLOTS_REFRESH_MS = 5000

/**
 * The one place where a client is constructed. A `Cluster` is given out as a `Redis`: it has the same commands, pipelines,
 * events and states, and where the two differ the caller asks `asCluster`.
 */
export function openClient(target: RedisTarget, tls: RedisTls | undefined, temper: Temper): Redis {
  const options = optionsOf(temper, tls)
  switch (target.kind) {
    case 'single':
      return new Redis(target.url.reveal(), options)
    case 'sentinel':
      return new Redis({ ...options, ...sentinelOptions(target, tls) })
    case 'cluster':
      return openCluster(target, options, temper) as unknown as Redis
  }
}

/** The cluster behind a client, if there is one. */
export function asCluster(client: object): Cluster | undefined {
  return client instanceof Cluster ? client : undefined
}

function optionsOf(temper: Temper, tls: RedisTls | undefined): Options {
  const { patient = false, scripts, ...own } = temper
  return {
    ...own,
    ...(scripts && { scripts }),
    connectTimeout: 1000,
    disconnectTimeout: 100,
    maxLoadingRetryTime: 500,
    enableAutoPipelining: false,
    enableOfflineQueue: patient,
    autoResendUnfulfilledCommands: patient,
    // 0: a lost connection fails its commands at once instead of after some reconnects.
    maxRetriesPerRequest: patient ? null : 0,
    retryStrategy: reconnectDelayMs,
    // After a failover the old primary refuses writes; a new connection finds the new one.
    reconnectOnError: (error) => error.message.includes('READONLY'),
    ...(tls && { tls: tlsOptions(tls) })
  }
}

function sentinelOptions(target: Extract<RedisTarget, { kind: 'sentinel' }>, tls: RedisTls | undefined): Options {
  const { sentinels, name, sentinelUsername, sentinelPassword, database } = target
  return {
    ...loginOptions(target),
    sentinels: sentinels.map(({ host, port }) => ({ host, port })),
    name,
    db: database,
    // The sentinels tell of a switch, so that a connection to a primary that only hangs is given up too.
    failoverDetector: true,
    sentinelRetryStrategy: reconnectDelayMs,
    sentinelCommandTimeout: 1000,
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword: sentinelPassword.reveal() }),
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: tlsOptions(tls) })
  }
}

function openCluster(
  target: Extract<RedisTarget, { kind: 'cluster' }>,
  options: Options,
  { patient = false, scripts }: Temper
): Cluster {
  // What a node's connection may not do by itself is the cluster's work: to wait, to reconnect.
  const { retryStrategy: _retry, enableOfflineQueue: _queue, scripts: _scripts, ...node } = options
  const cluster = new Cluster(
    target.nodes.map(({ host, port }) => ({ host, port })),
    {
      ...(patient ? PATIENT_REDIRECTIONS : QUICK_REDIRECTIONS),
      clusterRetryStrategy: reconnectDelayMs,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      redisOptions: { ...node, ...loginOptions(target) },
      ...(scripts && { scripts })
    }
  )
  connectEarly(cluster)
  return cluster
}

/**
 * Connects to every primary as soon as it is known: without an offline queue all but the first command to a node that is
 * still connecting fail. Not before the cluster is ready, because its own first command would fail like that too.
 */
function connectEarly(cluster: Cluster): void {
  const connectAll = () => {
    if (cluster.status !== 'ready') return
    for (const node of cluster.nodes('master')) if (node.status === 'wait') node.connect().catch(() => {})
  }
  cluster.on('ready', connectAll)
  // The command that led to a new node goes first, and connects it by itself.
  cluster.on('+node', () => setImmediate(connectAll))
}

function loginOptions({ username, password }: RedisLogin): Pick<RedisOptions, 'username' | 'password'> {
  return { ...(username !== undefined && { username }), ...(password && { password: password.reveal() }) }
}

function tlsOptions({ ca, cert, key, servername }: RedisTls): NonNullable<RedisOptions['tls']> {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key && { key: key.reveal() }),
    ...(servername !== undefined && { servername })
  }
}

/** 50 ms doubled each time, capped at a second, less up to a half: the first tries are quick, and processes do not march in step. */
function reconnectDelayMs(attempt: number): number {
  return Math.ceil(Math.min(1000, 50 * 2 ** Math.min(attempt - 1, 10)) * (0.5 + Math.random() / 2))
}

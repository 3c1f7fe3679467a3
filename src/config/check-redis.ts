import type { Faults } from './faults.ts'
import { parseAddress, redisUrlProblem } from './network.ts'
import type { Settings } from './schema.ts'

const WAYS = ['url', 'sentinels', 'cluster'] as const
type Way = (typeof WAYS)[number]
type Redis = NonNullable<Settings['redis']>

/** Settings that mean something in some ways only. */
const ONLY_WITH: readonly (readonly [key: keyof Redis, ways: readonly Way[]])[] = [
  ['name', ['sentinels']],
  ['username', ['sentinels', 'cluster']],
  ['password', ['sentinels', 'cluster']],
  ['sentinel_username', ['sentinels']],
  ['sentinel_password', ['sentinels']],
  ['database', ['sentinels']]
]

/** Reports what the schema cannot say about Redis. */
export function checkRedis({ redis }: Settings, faults: Faults): void {
  if (redis === undefined) return
  checkAddresses(redis, faults)
  // A way that is broken was chosen all the same, and has its fault already.
  const given = WAYS.filter((way) => redis[way] !== undefined || !faults.clean(['redis', way]))
  const [way, second] = given
  if (way === undefined) faults.add(['redis'], 'needs one of url, sentinels with name, and cluster')
  else if (second !== undefined) faults.add(['redis', second], `cannot stand beside redis.${way}`)
  else {
    checkWay(redis, way, faults)
    checkTls(redis, way, faults)
  }
}

function checkWay(redis: Redis, way: Way, faults: Faults): void {
  for (const [key, ways] of ONLY_WITH) {
    if (redis[key] === undefined || ways.includes(way)) continue
    faults.add(['redis', key], `goes with redis.${ways.join(' or redis.')} only`)
  }
  if (way === 'sentinels' && redis.name === undefined && faults.clean(['redis', 'name'])) {
    faults.add(['redis', 'name'], 'is missing: the sentinels know the primary by a name')
  }
}

function checkAddresses(redis: Redis, faults: Faults): void {
  if (redis.url !== undefined && faults.clean(['redis', 'url'])) {
    const problem = redisUrlProblem(redis.url)
    if (problem !== undefined) faults.add(['redis', 'url'], problem)
  }
  for (const key of ['sentinels', 'cluster'] as const) {
    for (const [i, address] of (redis[key] ?? []).entries()) {
      if (!faults.clean(['redis', key, i]) || parseAddress(address)?.port) continue
      faults.add(['redis', key, i], 'is not a possible address')
    }
  }
}

function checkTls({ url, tls }: Redis, way: Way, faults: Faults): void {
  if (!tls) return
  if (way === 'url' && url?.startsWith('redis://')) faults.add(['redis', 'tls'], 'needs a rediss:// URL')
  if (!faults.clean(['redis', 'tls', 'cert'], ['redis', 'tls', 'key'])) return
  if (tls.cert !== undefined && tls.key === undefined) faults.add(['redis', 'tls', 'key'], 'is missing: cert needs it')
  if (tls.key !== undefined && tls.cert === undefined) faults.add(['redis', 'tls', 'cert'], 'is missing: key needs it')
}

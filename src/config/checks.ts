import { type Faults, formatPath, type Path } from './faults.ts'
import { networkProblem, parseAddress, redisUrlProblem, urlProblem } from './network.ts'
import type { Settings } from './schema.ts'

const SEALING_KEY_BYTES = 32

/**
 * Reports what the schema cannot say, in all settings but the apps.
 * Each check runs only where what it looks at is sound.
 */
export function checkSettings(settings: Settings, faults: Faults): void {
  checkListeners(settings, faults)
  checkUrls(settings, faults)
  checkSealingKeys(settings, faults)
  checkConsumerKeys(settings, faults)
  checkNumbers(settings, faults)
}

function checkListeners({ listen, trust_proxy }: Settings, faults: Faults): void {
  const taken = new Map<string, string>()
  for (const [name, text] of sound(listen, ['listen'], faults)) {
    const address = parseAddress(text)
    if (!address) faults.add(['listen', name], 'is not a possible address')
    else if (address.port !== 0 && taken.has(text)) faults.add(['listen', name], `is also listen.${taken.get(text)}`)
    taken.set(text, name)
  }
  for (const [i, network] of sound(trust_proxy, ['trust_proxy'], faults)) {
    report(['trust_proxy', i], networkProblem(network), faults)
  }
}

function checkUrls(settings: Settings, faults: Faults): void {
  const urls: [Path, string][] = []
  if (faults.clean(['public_url'])) urls.push([['public_url'], settings.public_url])
  for (const [id, url] of sound(settings.return_urls, ['return_urls'], faults)) urls.push([['return_urls', id], url])
  for (const [key, row] of sound(settings.data_centers, ['data_centers'], faults)) {
    for (const [part, url] of Object.entries(row)) urls.push([['data_centers', key, part], url])
  }
  for (const [path, url] of urls) report(path, urlProblem(url), faults)
  if (faults.clean(['redis', 'url'])) report(['redis', 'url'], redisUrlProblem(settings.redis.url), faults)
}

function checkSealingKeys({ sealing }: Settings, faults: Faults): void {
  const ids = new Map<string, Path>()
  const materials = new Map<string, Path>()
  for (const [i, { id, key }] of sound(sealing?.keys, ['sealing', 'keys'], faults)) {
    const path: Path = ['sealing', 'keys', i]
    const bytes = Buffer.from(key, 'base64')
    if (bytes.length !== SEALING_KEY_BYTES) {
      faults.add([...path, 'key'], `is ${bytes.length} bytes, needs ${SEALING_KEY_BYTES}`)
    } else unique(materials, bytes.toString('hex'), [...path, 'key'], faults)
    unique(ids, id, [...path, 'id'], faults)
  }
}

function checkConsumerKeys({ consumers }: Settings, faults: Faults): void {
  const hashes = new Map<string, Path>()
  for (const [name, { keys }] of sound(consumers, ['consumers'], faults)) {
    for (const [i, hash] of keys.entries()) unique(hashes, hash.toLowerCase(), ['consumers', name, 'keys', i], faults)
  }
}

function checkNumbers({ refresh, redis, shutdown }: Settings, faults: Faults): void {
  const refreshOf = (...keys: string[]): Path[] => keys.map((key) => ['refresh', key])
  const order = (paths: Path[], holds: () => boolean, problem: () => string) => {
    const [blamed] = paths
    if (blamed && faults.clean(...paths) && !holds()) faults.add(blamed, problem())
  }
  const storeMs = () => 2 * redis.command_timeout_ms + 500
  order(
    [...refreshOf('lease_ttl_ms', 'upstream_timeout_ms'), ['redis', 'command_timeout_ms']],
    () => refresh.lease_ttl_ms >= refresh.upstream_timeout_ms + storeMs(),
    () => `must exceed refresh.upstream_timeout_ms by ${storeMs()} for the store (2 × redis.command_timeout_ms + 500)`
  )
  order(
    refreshOf('caller_deadline_ms', 'upstream_timeout_ms'),
    () => refresh.caller_deadline_ms > refresh.upstream_timeout_ms,
    () => 'must be more than refresh.upstream_timeout_ms'
  )
  order(
    refreshOf('connect_timeout_ms', 'upstream_timeout_ms'),
    () => refresh.connect_timeout_ms <= refresh.upstream_timeout_ms,
    () => 'must not be more than refresh.upstream_timeout_ms'
  )
  order(
    refreshOf('backoff_max_ms', 'backoff_first_ms'),
    () => refresh.backoff_max_ms >= refresh.backoff_first_ms,
    () => 'must not be less than refresh.backoff_first_ms'
  )
  order(
    refreshOf('in_flight_reserved', 'in_flight'),
    () => refresh.in_flight_reserved < refresh.in_flight,
    () => 'must be less than refresh.in_flight'
  )
  order(
    [
      ['shutdown', 'deadline_ms'],
      ['shutdown', 'drain_ms']
    ],
    () => shutdown.deadline_ms > shutdown.drain_ms,
    () => 'must be more than shutdown.drain_ms'
  )
}

/** The sound entries of a list or mapping that may itself be broken. */
function sound<T>(list: readonly T[] | undefined, path: Path, faults: Faults): [number, T][]
function sound<T>(mapping: { readonly [key: string]: T } | undefined, path: Path, faults: Faults): [string, T][]
function sound<T>(entries: readonly T[] | { readonly [key: string]: T } | undefined, path: Path, faults: Faults) {
  const pairs: [string | number, T][] = Array.isArray(entries) ? [...entries.entries()] : Object.entries(entries ?? {})
  return pairs.filter(([key]) => faults.clean([...path, key]))
}

function unique(seen: Map<string, Path>, value: string, path: Path, faults: Faults): void {
  const first = seen.get(value)
  if (first) faults.add(path, `is the same as ${formatPath(first)}`)
  else seen.set(value, path)
}

function report(path: Path, problem: string | undefined, faults: Faults): void {
  if (problem !== undefined) faults.add(path, problem)
}

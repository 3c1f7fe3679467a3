import { checkRedis } from './check-redis.ts'
import { type Faults, formatPath, type Path } from './faults.ts'
import { networkProblem, parseAddress, urlProblem } from './network.ts'
import type { Settings } from './schema.ts'

const SEALING_KEY_BYTES = 32

/** Section, setting, relation, and the setting of the same section that it is compared with. */
const ORDER = [
  ['refresh', 'caller_deadline_ms', 'more than', 'upstream_timeout_ms'],
  ['refresh', 'upstream_timeout_ms', 'at least', 'connect_timeout_ms'],
  ['refresh', 'backoff_max_ms', 'at least', 'backoff_first_ms'],
  ['refresh', 'in_flight', 'more than', 'in_flight_reserved'],
  ['shutdown', 'deadline_ms', 'more than', 'drain_ms']
] as const

/**
 * Reports what the schema cannot say, in all settings but the apps.
 * Each check runs only where what it looks at is sound.
 */
export function checkSettings(settings: Settings, faults: Faults): void {
  checkListeners(settings, faults)
  checkUrls(settings, faults)
  checkRedis(settings, faults)
  checkSealingKeys(settings, faults)
  checkConsumerKeys(settings, faults)
  checkNumbers(settings, faults)
  checkLease(settings, faults)
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

function checkNumbers(settings: Settings, faults: Faults): void {
  for (const [section, key, relation, other] of ORDER) {
    const numbers = settings[section] as { readonly [key: string]: number }
    if (!faults.clean([section, key], [section, other])) continue
    const [value = 0, least = 0] = [numbers[key], numbers[other]]
    if (relation === 'more than' ? value > least : value >= least) continue
    faults.add([section, key], `must be ${relation} ${section}.${other}`)
  }
}

function checkLease({ refresh, redis }: Settings, faults: Faults): void {
  const path: Path = ['refresh', 'lease_ttl_ms']
  if (!faults.clean(path, ['refresh', 'upstream_timeout_ms'], ['redis', 'command_timeout_ms'])) return
  const storeMs = 2 * redis.command_timeout_ms + 500
  if (refresh.lease_ttl_ms >= refresh.upstream_timeout_ms + storeMs) return
  const why = `${storeMs} for the store (2 × redis.command_timeout_ms + 500)`
  faults.add(path, `must exceed refresh.upstream_timeout_ms by ${why}`)
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

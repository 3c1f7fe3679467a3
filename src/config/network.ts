import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

/** Host and port of a listener. Port 0 lets the system choose. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Reads `host:port` or `[ipv6]:port`; undefined where the port or the IPv6 address is impossible. */
export function parseAddress(text: string): Address | undefined {
  const colon = text.lastIndexOf(':')
  const port = Number(text.slice(colon + 1))
  const bracketed = text.startsWith('[')
  const host = bracketed ? text.slice(1, colon - 1) : text.slice(0, colon)
  return port > 65_535 || (bracketed && !isIPv6(host)) ? undefined : { host, port }
}

/** An address that was checked before. */
export function addressOf(text: string): Address {
  const address = parseAddress(text)
  if (!address) throw new TypeError('an address that was not checked')
  return address
}

/** Why `text` cannot be a URL that secrets or people are sent to; undefined when it can. */
export function urlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is not a valid URL'
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password'
  if (url.hash !== '') return 'must not have a fragment'
  if (url.protocol !== 'https:' && !isLoopback(url.hostname)) return 'must be https (plain http only on loopback)'
  return undefined
}

/** Why `text` cannot be a Redis URL; undefined when it can. */
export function redisUrlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is not a valid URL'
  const url = new URL(text)
  if (url.hostname === '') return 'needs a host'
  // The client would take options from the query, past this schema.
  if (url.search !== '' || url.hash !== '') return 'must not have a query or fragment'
  if (!/^(\/\d{0,5})?$/.test(url.pathname)) return 'must end in a database number or nothing'
  return undefined
}

/** Why `text` cannot be a trusted proxy; undefined when it is an address or a range smaller than everything. */
export function networkProblem(text: string): string | undefined {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return 'is not an IP address or a CIDR range'
  if (prefix === undefined) return undefined
  const bits = Number(prefix)
  if (bits > (family === 4 ? 32 : 128)) return 'has an impossible prefix length'
  return bits === 0 ? 'would trust every address' : undefined
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Whether a host of a parsed URL is this machine. */
function isLoopback(hostname: string): boolean {
  if (hostname === 'localhost') return true
  const address = hostname.replace(/^\[|\]$/g, '')
  return isIP(address) !== 0 && LOOPBACK.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

import { hash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { type LimitDeps, limitRequests } from '../request-limit.ts'

/** Per address as `trustProxy` lets it be known. */
export function limitPublic(scope: FastifyInstance, deps: LimitDeps): Promise<void> {
  return limitRequests(scope, deps, {
    policy: 'public',
    nameSpace: 'public-limit',
    keyOf: (request) => hash('sha256', addressGroup(request.ip)).slice(0, 32)
  })
}

/** The address that is counted: IPv4 as it is, also when mapped into IPv6; of IPv6 the /64, which is one subscriber. */
export function addressGroup(ip: string): string {
  const address = ip.toLowerCase()
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  if (mapped?.[1]) return mapped[1]
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::', 2)
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const gap = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length)
  const groups = [...front, ...Array<string>(gap).fill('0'), ...back]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { refKey } from '../../src/domain/ids.ts'
import { type OpenStoreOptions, openStore, relayedEvents } from '../helpers/redis-store.ts'
import type { ConnectUnderTest } from './connect-ports.ts'

/** All ports over a Redis of any topology, with the look behind them that the contracts take. */
export async function makeOnRedis(
  t: Test,
  where: Pick<OpenStoreOptions, 'url' | 'target' | 'tls'>,
  prefix = `ztb-${randomBytes(6).toString('hex')}`
): Promise<ConnectUnderTest> {
  const { clients, keys, auditLog, ...ports } = await openStore(t, { ...where, prefix })
  return {
    ...ports,
    audit: auditLog,
    clock: { now: Date.now },
    events: (ref) => relayedEvents(clients.fast, keys, refKey(ref)),
    looseEvents: () => relayedEvents(clients.fast, keys, ''),
    dueAt: async (ref) => {
      const score = await clients.fast.zscore(keys.due(ref), refKey(ref))
      return score === null ? undefined : Number(score)
    }
  }
}

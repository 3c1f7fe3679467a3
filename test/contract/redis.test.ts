import t, { type Test } from 'tap'
import { refKey } from '../../src/domain/ids.ts'
import { testRedis } from '../helpers/redis.ts'
import { openStore, relayedEvents } from '../helpers/redis-store.ts'
import { type ConnectUnderTest, connectPortsContract } from './connect-ports.ts'
import { connectionStoreContract } from './connection-store.ts'

async function make(t: Test): Promise<ConnectUnderTest> {
  const { url, prefix } = await testRedis(t)
  const { clients, keys, auditLog, ...ports } = await openStore(t, { url, prefix })
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

t.test('the Redis store keeps its contract', (t) => connectionStoreContract(t, make))
t.test('so do connect, disconnect and the sweep', (t) => connectPortsContract(t, make))

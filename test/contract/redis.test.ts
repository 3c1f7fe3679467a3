import t from 'tap'
import { refKey } from '../../src/domain/ids.ts'
import { testRedis } from '../helpers/redis.ts'
import { openStore, relayedEvents } from '../helpers/redis-store.ts'
import { connectionStoreContract } from './connection-store.ts'

t.test('the Redis store keeps its contract', (t) =>
  connectionStoreContract(t, async (t) => {
    const { url, prefix } = await testRedis(t)
    const { store, clients, keys } = await openStore(t, { url, prefix })
    return {
      store,
      clock: { now: Date.now },
      grants: (ref) => clients.fast.hgetall(keys.grants(ref)),
      events: (ref) => relayedEvents(clients.fast, keys, refKey(ref)),
      dueAt: async (ref) => {
        const score = await clients.fast.zscore(keys.due(ref), refKey(ref))
        return score === null ? undefined : Number(score)
      }
    }
  })
)

import t, { type Test } from 'tap'
import { testRedis } from '../helpers/redis.ts'
import { type ConnectUnderTest, connectPortsContract } from './connect-ports.ts'
import { connectionStoreContract } from './connection-store.ts'
import { makeOnRedis } from './make.ts'

async function make(t: Test): Promise<ConnectUnderTest> {
  const { url, prefix } = await testRedis(t)
  return makeOnRedis(t, { url }, prefix)
}

t.test('the Redis store keeps its contract', (t) => connectionStoreContract(t, make))
t.test('so do connect, disconnect and the sweep', (t) => connectPortsContract(t, make))

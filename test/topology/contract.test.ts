import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createClients } from '../../src/redis/clients.ts'
import { createWakeUp } from '../../src/redis/wake-up.ts'
import { connectPortsContract } from '../contract/connect-ports.ts'
import { connectionStoreContract } from '../contract/connection-store.ts'
import { makeOnRedis } from '../contract/make.ts'
import { eventually } from '../helpers/connections.ts'
import { startRedisProcess } from '../helpers/redis.ts'
import type { OpenStoreOptions } from '../helpers/redis-store.ts'
import { startCluster, startSentinel, startTls } from '../helpers/topologies.ts'

type WakeUpOfProcess = ReturnType<typeof createWakeUp>
type Where = Pick<OpenStoreOptions, 'url' | 'target' | 'tls'>

async function contracts(t: Test, where: Where): Promise<void> {
  await t.test('records', (t) => connectionStoreContract(t, (t) => makeOnRedis(t, where)))
  await t.test('links, flows, due times and audit', (t) => connectPortsContract(t, (t) => makeOnRedis(t, where)))
}

t.test('the store keeps its contracts behind sentinels', async (t) => {
  const { target } = await startSentinel(t)
  await contracts(t, { target })
})

t.test('the store keeps its contracts on a cluster', async (t) => {
  const { target } = await startCluster(t)
  await contracts(t, { target })

  const [one, other] = [createClients({ target }), createClients({ target })]
  t.teardown(() => Promise.all([one.close(100), other.close(100)]))
  await Promise.all([one.ready(), other.ready()])
  const [here, there] = [one, other].map(({ fast, subscriber }) =>
    createWakeUp({ publisher: fast, subscriber, channel: 'ztb-test:wake' })
  ) as [WakeUpOfProcess, WakeUpOfProcess]
  t.teardown(() => [here, there].map((each) => each.close()))
  const ref = { tenant: 'acme', connection: 'desk' }
  let woken = false
  there.wait(ref, 60_000).then(() => {
    woken = true
  })
  await eventually(() => {
    here.publish(ref)
    return woken
  })
  t.pass('and a wake-up reaches another process')
})

t.test('the store keeps its contracts over TLS with a client certificate', async (t) => {
  const { url, tls } = await startTls(t)
  const trusted = { ...tls, key: new Secret(tls.key) }
  await contracts(t, { url, tls: trusted })

  const reasons: (string | undefined)[] = []
  const clients = createClients({
    target: { kind: 'single', url: new Secret(url) },
    onStateChange: ({ reason }) => reasons.push(reason)
  })
  t.teardown(() => clients.close(100))
  await eventually(() => reasons.some((reason) => /certificate/.test(reason ?? '')))
  await t.rejects(clients.fast.ping(), 'a server whose CA is not known gets no command')
})

t.test('the store keeps its contracts on Valkey', async (t) => {
  if (spawnSync('valkey-server', ['--version']).status !== 0) {
    t.comment('there is no valkey-server on the PATH: the contracts were not run on Valkey')
    return
  }
  const server = await startRedisProcess(t, { program: 'valkey-server' })
  await contracts(t, { url: server.url })
})

import t from 'tap'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { ConnectionStore } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import { type ClientStateChange, createClients } from '../../src/redis/clients.ts'
import { createRedisClock } from '../../src/redis/clock.ts'
import { createStoreCall } from '../../src/redis/store-call.ts'
import { createWakeUp } from '../../src/redis/wake-up.ts'
import { connection, eventually, freshRef, successor } from '../helpers/connections.ts'
import { startRedisProcess, startTcpProxy, testRedis } from '../helpers/redis.ts'
import { type OpenStore, openStore } from '../helpers/redis-store.ts'

const AWAY = { code: 'ERR_STORE_UNAVAILABLE', retryAfterMs: 1000 }

const works = (store: ConnectionStore, ref: ConnectionRef) => () =>
  store.read(ref).then(
    () => true,
    () => false
  )

/** Every method of the ports, called once. */
function everyCall(open: OpenStore, ref: ConnectionRef): (() => Promise<unknown>)[] {
  const { store, connectStore, dueIndex, tombstones, auditLog } = open
  const asks = { ref, seen: undefined, owner: 'me', ttlMs: 9, share: 'anyone', limit: 1, windowMs: 9, now: 1 } as const
  const next = connection(ref)
  return [
    () => store.read(ref),
    () => store.list(ref.tenant, { limit: 5 }),
    () => store.begin(asks),
    () => store.renew(ref, 'me', 9),
    () => store.release(ref, 'me'),
    () => store.waitingGrants(ref),
    () => store.commit({ seen: undefined, next, dueAt: 1 }),
    () => store.commit({ seen: undefined, next, dueAt: 1, durable: true }),
    () => connectStore.items(ref),
    () => connectStore.change(ref, { changes: [] }),
    () => connectStore.pointToFlow('f', { ref, id: 'f' }, 9),
    () => connectStore.findFlow('f'),
    () => connectStore.takeState('0'.repeat(64)),
    () => dueIndex.claim({ now: 1, limit: 500, visibilityMs: 1 }),
    () => dueIndex.renew([ref], 1),
    () => dueIndex.settle(ref, undefined, undefined),
    () => tombstones.remove(ref, next),
    () => auditLog.relayOutbox(ref)
  ]
}

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

t.test('a frozen server: every call fails in under half a second, and works when it thaws', async (t) => {
  const server = await startRedisProcess(t)
  const open = await openStore(t, { url: server.url, prefix: 'ztb' })
  const { store } = open
  const first = connection(freshRef())
  await store.commit({ seen: undefined, next: first, dueAt: 1 })
  server.pause()
  for (const call of everyCall(open, freshRef())) {
    const began = performance.now()
    await t.rejects(call(), AWAY)
    t.ok(performance.now() - began < 500)
  }
  const calls = Array.from({ length: 100 }, () => t.rejects(store.read(first.ref), AWAY))
  await Promise.all(calls)
  server.resume()
  await eventually(works(store, first.ref), 2000)
  t.equal((await store.read(first.ref))?.writeId, first.writeId)
})

t.test('a killed server: calls fail at once, and the same clients work again after its restart', async (t) => {
  const server = await startRedisProcess(t, { appendOnly: true })
  const changes: ClientStateChange[] = []
  const onStateChange = (change: ClientStateChange) => changes.push(change)
  const open = await openStore(t, { url: server.url, prefix: 'ztb', onStateChange })
  const { store, clients } = open
  const first = connection(freshRef())
  await store.commit({ seen: undefined, next: first, dueAt: 1 })
  await server.client().config('SET', 'appendfsync', 'always')
  const second = successor(first)
  await store.commit({ seen: first, next: second, dueAt: 1 })
  t.equal(changes.filter(({ state }) => state === 'up').length, 4)

  await server.kill()
  await eventually(() => changes.filter(({ state }) => state === 'down').length === 4)
  for (const call of everyCall(open, freshRef())) {
    const began = performance.now()
    await t.rejects(call(), AWAY)
    t.ok(performance.now() - began < 500)
  }
  // Until the pauses between its tries have reached their longest.
  await new Promise<void>((resolve) => {
    clients.fast.on('reconnecting', (delayMs: number) => {
      if (delayMs > 500) resolve()
    })
  })
  t.equal(changes.length, 8, 'each change is told once, however often it tries')
  await server.restart()
  await eventually(works(store, first.ref), 2000)
  t.equal((await store.read(first.ref))?.writeId, second.writeId)
  await eventually(() => changes.length === 12)
  t.strictSame(
    changes.slice(8).map(({ state }) => state),
    ['up', 'up', 'up', 'up']
  )
  t.equal(await clients.limiter.ping(), 'PONG')
  const third = successor(second)
  t.strictSame(await store.commit({ seen: second, next: third, dueAt: 1, durable: true }), { kind: 'written' })
})

t.test('a connection that is dead without saying so is made anew', async (t) => {
  const server = await startRedisProcess(t)
  const proxy = await startTcpProxy(t, server.url)
  const { store } = await openStore(t, { url: proxy.url, prefix: 'ztb', silenceMs: 300 })
  const ref = freshRef()
  const before = proxy.accepted()
  proxy.freeze()
  await eventually(async () => !(await works(store, ref)()) && proxy.accepted() > before)
  proxy.thaw()
  await eventually(works(store, ref), 2000)
  await proxy.cut()
  await eventually(async () => !(await works(store, ref)()))
  await proxy.heal()
  t.ok(await eventually(works(store, ref), 2000).then(() => true))
})

t.test('an event loop that was late is not taken for a store that is away', async (t) => {
  const { url, prefix } = await testRedis(t)
  const { store } = await openStore(t, { url, prefix })
  const first = connection(freshRef())
  await store.commit({ seen: undefined, next: first, dueAt: undefined })
  for (const afterMs of [0, 150, 190]) {
    const reading = store.read(first.ref)
    const writing = store.renew(first.ref, 'me', 1000)
    // The batch leaves in this turn; the answers lie in the socket while we are busy.
    setImmediate(() => block(afterMs > 0 ? 250 : 300))
    t.equal((await reading)?.writeId, first.writeId)
    t.equal(await writing, false)
  }
})

t.test('a deadline that was late gives up when no answer comes all the same', async (t) => {
  const call = createStoreCall({ deadlineMs: 20 })
  const never = call(new Promise(() => {}))
  block(100)
  await t.rejects(never, { ...AWAY, cause: { message: 'No answer within 20 ms' } })
  await t.rejects(call(new Promise(() => {}), 10), { cause: { message: 'No answer within 30 ms' } })
  await t.rejects(call(Promise.reject('odd')), AWAY)
})

t.test('a primary that became a replica is left, and found again', async (t) => {
  const server = await startRedisProcess(t)
  const changes: ClientStateChange[] = []
  const { store } = await openStore(t, {
    url: server.url,
    prefix: 'ztb',
    onStateChange: (change) => changes.push(change)
  })
  const admin = server.client()
  await admin.replicaof('127.0.0.1', 1)
  const next = connection(freshRef())
  const commit = () => store.commit({ seen: undefined, next, dueAt: undefined })
  await t.rejects(commit(), { ...AWAY, cause: { message: /READONLY/ } })
  await eventually(() => changes.some(({ client, state }) => client === 'fast' && state === 'down'))
  await admin.replicaof('NO', 'ONE')
  await eventually(
    () =>
      commit().then(
        () => true,
        () => false
      ),
    2000
  )
  t.ok(await store.read(next.ref))
})

t.test('nothing else but a Redis URL is accepted, and a wrong one is not quoted', async (t) => {
  for (const url of ['', 'localhost', 'http://x:hunter2@h', '/tmp/redis.sock', 'redis://']) {
    t.throws(() => createClients({ target: { kind: 'single', url: new Secret(url) } }), {
      message: 'The Redis URL must begin with redis:// or rediss://'
    })
  }
})

t.test('clients close within their deadline, whatever the server does, and say nothing of it', async (t) => {
  const server = await startRedisProcess(t)
  const changes: ClientStateChange[] = []
  const onStateChange = (change: ClientStateChange) => changes.push(change)
  const { clients, store } = await openStore(t, { url: server.url, prefix: 'ztb', onStateChange })
  const pending = store.read(freshRef())
  await new Promise(setImmediate)
  await clients.close(1000)
  t.equal(await pending, undefined, 'what was under way was answered')
  await t.rejects(store.read(freshRef()), AWAY)

  const others = await openStore(t, { url: server.url, prefix: 'ztb', onStateChange })
  server.pause()
  const began = performance.now()
  await others.clients.close(100)
  t.ok(performance.now() - began < 1000)
  server.resume()
  t.ok(changes.every(({ state }) => state === 'up'))
})

t.test('wake-ups', async (t) => {
  const { url, prefix } = await testRedis(t)
  const open = async (channel: string) => {
    const { clients } = await openStore(t, { url, prefix })
    const wakeUp = createWakeUp({ publisher: clients.fast, subscriber: clients.subscriber, channel })
    t.teardown(() => wakeUp.close())
    return { wakeUp, clients }
  }
  const listeners = async (client: { pubsub(...args: ['NUMSUB', string]): Promise<unknown> }, channel: string) =>
    Number(((await client.pubsub('NUMSUB', channel)) as [string, number])[1])

  t.test('reach waiters of that connection in every process, and no others', async (t) => {
    const channel = `${prefix}:wake`
    const [a, b] = [await open(channel), await open(channel)]
    await eventually(async () => (await listeners(a.clients.fast, channel)) === 2)
    const [mine, theirs] = [freshRef(), freshRef()]
    let woken = false
    const other = a.wakeUp.wait(theirs, 60_000).then(() => {
      woken = true
    })
    const waits = [a.wakeUp.wait(mine, 60_000), a.wakeUp.wait(mine, 60_000), b.wakeUp.wait(mine, 60_000)]
    b.wakeUp.publish(mine)
    await Promise.all(waits)
    t.notOk(woken)
    b.wakeUp.publish(theirs)
    await other
    t.ok(woken)
  })

  t.test('a wait ends by itself, and at shutdown', async (t) => {
    const { wakeUp } = await open(`${prefix}:wake-alone`)
    await wakeUp.wait(freshRef(), 10)
    const waiting = wakeUp.wait(freshRef(), 60_000)
    wakeUp.close()
    await waiting
    t.pass()
  })

  t.test('go on after the connection of the subscriber was killed, and waiters of that time look again', async (t) => {
    const channel = `${prefix}:wake-killed`
    const [a, b] = [await open(channel), await open(channel)]
    await eventually(async () => (await listeners(b.clients.fast, channel)) === 2)
    const id = await a.clients.subscriber.client('ID')
    const waiting = a.wakeUp.wait(freshRef(), 60_000)
    await b.clients.fast.client('KILL', 'ID', id)
    await waiting
    await eventually(async () => (await listeners(b.clients.fast, channel)) === 2)
    const ref = freshRef()
    const again = a.wakeUp.wait(ref, 60_000)
    b.wakeUp.publish(ref)
    await again
    t.pass()
  })

  t.test('a subscriber that hears not even the beats is connected anew', async (t) => {
    const channel = `${prefix}:wake-silent`
    const proxy = await startTcpProxy(t, url)
    const { clients } = await openStore(t, { url: proxy.url, prefix, silenceMs: 300 })
    const direct = await openStore(t, { url, prefix })
    let silences = 0
    const wakeUp = createWakeUp({
      publisher: direct.clients.fast,
      subscriber: clients.subscriber,
      channel,
      beatMs: 20,
      silenceMs: 200,
      onSilence: () => silences++
    })
    t.teardown(() => wakeUp.close())
    await eventually(async () => (await listeners(direct.clients.fast, channel)) === 1)
    const accepted = proxy.accepted()
    proxy.freeze()
    await eventually(() => silences > 0 && proxy.accepted() > accepted)
    proxy.thaw()
    const ref = freshRef()
    const waiting = wakeUp.wait(ref, 60_000)
    await eventually(async () => (await listeners(direct.clients.fast, channel)) === 1)
    direct.clients.fast.publish(channel, `${ref.tenant}/${ref.connection}`)
    await waiting
    t.pass()
  })

  t.test('publishing while the store is away harms nobody, and wakes this process', async (t) => {
    const server = await startRedisProcess(t)
    const { clients } = await openStore(t, { url: server.url, prefix })
    const wakeUp = createWakeUp({ publisher: clients.fast, subscriber: clients.subscriber, channel: 'x' })
    t.teardown(() => wakeUp.close())
    await server.kill()
    const ref = freshRef()
    const waiting = wakeUp.wait(ref, 60_000)
    wakeUp.publish(ref)
    await waiting
    t.pass()
  })
})

t.test('the clock', async (t) => {
  const call = createStoreCall()

  t.test("is the store's, and not ready before that is known", async (t) => {
    const { url, prefix } = await testRedis(t)
    const { clients } = await openStore(t, { url, prefix })
    const clock = createRedisClock({ client: clients.fast, call, wall: () => Date.now() - 3_600_000 })
    t.teardown(() => clock.close())
    t.notOk(clock.ready())
    await eventually(clock.ready)
    const [seconds] = await clients.fast.time()
    t.ok(Math.abs(clock.now() - Number(seconds) * 1000) < 2000, 'a machine an hour behind has the right time')
    t.ok(Math.abs(clock.offsetMs() - 3_600_000) < 2000)
    t.ok(Number.isInteger(clock.now()))
  })

  /** A store whose clock is `ahead` of ours, reached with the given round trips. */
  function remote(ahead: number, roundTrips: number[]) {
    let steady = 0
    return {
      steady: () => steady,
      pass: (ms: number) => {
        steady += ms
      },
      client: {
        time: async (): Promise<number[]> => {
          const roundTrip = roundTrips.shift() ?? 2
          await undefined
          // Only the way back takes time: the longer it is, the more wrong is what a reading says.
          const at = steady + ahead
          steady += roundTrip
          return [Math.floor(at / 1000), (at % 1000) * 1000]
        }
      }
    }
  }

  t.test('takes the reading with the shortest round trip', async (t) => {
    const { client, steady } = remote(1_000_000, [100, 4, 60])
    const clock = createRedisClock({ client: client as never, call, steady, wall: steady })
    t.teardown(() => clock.close())
    await eventually(clock.ready)
    t.equal(clock.offsetMs(), 1_000_000 - 2)
  })

  t.test('does not jump with the wall clock, and measures again at once when that jumps', async (t) => {
    const { client, steady, pass } = remote(1_000_000, [])
    let measured = 0
    let wallAhead = 0
    const jumps: number[] = []
    const counted = {
      time: () => {
        measured++
        return client.time()
      }
    }
    const wall = () => steady() + wallAhead
    const clock = createRedisClock({ client: counted as never, call, steady, wall, onJump: (ms) => jumps.push(ms) })
    t.teardown(() => clock.close())
    await eventually(clock.ready)
    const before = clock.now()
    wallAhead = 86_400_000
    pass(5)
    t.equal(clock.now(), before + 5)
    t.strictSame(jumps, [86_400_000])
    await eventually(() => measured === 6)
    wallAhead += 500
    clock.now()
    t.equal(jumps.length, 1, 'a small step is none')
  })

  t.test('keeps its last offset while the store is away, and tries on until it answers', async (t) => {
    const { client, steady, pass } = remote(5000, [])
    let away = true
    const broken = { time: () => (away ? Promise.reject(new Error('away')) : client.time()) }
    const timing = { everyMs: 5, retryMs: 5 }
    const clock = createRedisClock({ client: broken as never, call, steady, wall: steady, ...timing })
    t.teardown(() => clock.close())
    t.equal(clock.now(), steady(), 'our own time until then')
    away = false
    await eventually(clock.ready)
    away = true
    pass(1000)
    t.ok(Math.abs(clock.now() - (steady() + 5000)) <= 1)
    t.ok(clock.ready())
  })
})

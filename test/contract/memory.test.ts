import t from 'tap'
import { isBrokerError } from '../../src/domain/errors.ts'
import { connection, freshRef } from '../helpers/connections.ts'
import { createMemoryStore } from '../helpers/memory-store.ts'
import { connectPortsContract } from './connect-ports.ts'
import { connectionStoreContract } from './connection-store.ts'

const clock = { now: Date.now }

t.test('the in-memory twin keeps the contract of the store', (t) =>
  connectionStoreContract(t, async () => {
    const store = createMemoryStore({ clock })
    return {
      store,
      clock,
      events: async (ref) => store.events(ref),
      dueAt: async (ref) => store.dueAt(ref)
    }
  })
)

t.test('the in-memory twin keeps the contract of connect, disconnect and the sweep', (t) =>
  connectPortsContract(t, async () => {
    const store = createMemoryStore({ clock })
    return {
      store,
      connectStore: store,
      dueIndex: store,
      tombstones: store,
      audit: store,
      clock,
      events: async (ref) => store.events(ref),
      looseEvents: async () => store.looseEvents(),
      dueAt: async (ref) => store.dueAt(ref)
    }
  })
)

t.test('a call that fails does nothing, one whose reply is lost was done', async (t) => {
  const store = createMemoryStore({ clock })
  const ref = freshRef()
  const input = { seen: undefined, next: connection(ref), dueAt: undefined }
  store.next('commit', 'fail')
  store.next('commit', 'lose_reply')
  await t.rejects(store.commit(input), { code: 'ERR_STORE_UNAVAILABLE', retryAfterMs: 1000 })
  t.equal(await store.read(ref), undefined)
  await t.rejects(store.commit(input), { code: 'ERR_STORE_UNAVAILABLE' })
  t.ok(await store.read(ref))
  t.strictSame(await store.commit(input), { kind: 'written' })
  t.equal(store.calls('commit'), 3)
})

t.test('a store that is away fails every call until it is back', async (t) => {
  const store = createMemoryStore({ clock })
  store.away = true
  const error = await store.read(freshRef()).catch((error) => error)
  t.ok(isBrokerError(error, 'ERR_STORE_UNAVAILABLE'))
  store.away = false
  t.equal(await store.read(freshRef()), undefined)
})

t.test('a call may be held up', async (t) => {
  const store = createMemoryStore({ clock })
  const { promise, resolve } = Promise.withResolvers<void>()
  store.next('read', { delay: promise })
  let done = false
  const reading = store.read(freshRef()).then(() => {
    done = true
  })
  await new Promise(setImmediate)
  t.notOk(done)
  resolve()
  await reading
})

t.test('a lease of the twin ends by the given clock', async (t) => {
  let now = 1_000_000
  const store = createMemoryStore({ clock: { now: () => now } })
  const ref = freshRef()
  const asks = { ref, seen: undefined, ttlMs: 15_000, share: 'anyone', limit: 9, windowMs: 600_000, now } as const
  await store.begin({ ...asks, owner: 'a' })
  now += 14_999
  t.strictSame(await store.begin({ ...asks, owner: 'b' }), { kind: 'held', forMs: 1 })
  now += 1
  t.match(await store.begin({ ...asks, owner: 'b' }), { kind: 'go' })
  t.equal(store.lease(ref), 'b')
})

t.test('publish wakes who waits for that connection', async (t) => {
  const store = createMemoryStore({ clock })
  const [mine, theirs] = [freshRef(), freshRef()]
  const waits = [store.wait(mine, 60_000), store.wait(mine, 60_000)]
  const other = store.wait(theirs, 60_000)
  store.publish(mine)
  await Promise.all(waits)
  t.equal(store.waiting(mine), 0)
  t.equal(store.waiting(theirs), 1)
  store.publish(theirs)
  await other
  await store.wait(mine, 1)
})

import { inspect } from 'node:util'
import t from 'tap'
import type { Connection } from '../../src/domain/connection.ts'
import { refKey } from '../../src/domain/ids.ts'
import type { CommitInput } from '../../src/domain/ports.ts'
import { createBatchReader } from '../../src/redis/batch-reader.ts'
import { encodeRecord } from '../../src/redis/record.ts'
import { encodeWaitingGrant } from '../../src/redis/waiting-grants.ts'
import { connection, freshRef, successor, waitingGrant } from '../helpers/connections.ts'
import { dying, wrapCommands } from '../helpers/dying-client.ts'
import { startRedisProcess, testRedis } from '../helpers/redis.ts'
import { type OpenStore, openStore, relayedEvents } from '../helpers/redis-store.ts'

const EARLY_MS = 30_000
const LATER = 9_000_000_000_000
const CONNECTED = { type: 'connection.connected', at: 1, actor: 'ops', data: { generation: 1 } }

const { url, prefix } = await testRedis(t)
const open = (more: Partial<Parameters<typeof openStore>[1]> = {}) => openStore(t, { url, prefix, ...more })
const under = await open()
const { store, clients, keys } = under
const redis = clients.fast

async function stored(ref = freshRef(), changes: Partial<Connection> = {}): Promise<Connection> {
  const first = connection(ref, changes)
  await store.commit({ seen: undefined, next: first, dueAt: LATER })
  return first
}

async function dueAt(ref: Connection['ref']): Promise<number | undefined> {
  const score = await redis.zscore(keys.due(ref), refKey(ref))
  return score === null ? undefined : Number(score)
}

const isEarly = (due: number | undefined) => due !== undefined && due <= Date.now() + EARLY_MS
const isListed = async (ref: Connection['ref']) => (await redis.zscore(keys.index(ref.tenant), refKey(ref))) !== null
const inStatus = async (ref: Connection['ref']) => {
  const found: string[] = []
  for (const status of ['pending', 'reconnect_required', 'disconnecting', 'disconnected'] as const) {
    if ((await redis.zscore(keys.status(status), refKey(ref))) !== null) found.push(status)
  }
  return found
}

t.test(
  'a crash after any step of a first write leaves no record unlisted, none without a look soon, no event lost',
  async (t) => {
    for (let before = 0; ; before++) {
      const { sent, wrap } = dying(before)
      const crashing = await open({ wrap })
      const next = connection(freshRef(), { status: 'pending' })
      const input: CommitInput = { seen: undefined, next, dueAt: LATER, events: [CONNECTED] }
      const failed = await crashing.store.commit(input).then(
        () => false,
        () => true
      )
      const written = (await store.read(next.ref)) !== undefined
      t.equal(written, sent.includes('ztbCommitBuffer'))
      t.equal(failed, !written, 'an error exactly where nothing was written')
      if (written) {
        t.ok(await isListed(next.ref))
        const relayed = (await relayedEvents(redis, keys, refKey(next.ref))).length > 0
        const waiting = (await redis.xlen(keys.outbox(next.ref))) > 0
        t.ok(relayed || waiting, `the event is somewhere after ${before} commands`)
        const due = await dueAt(next.ref)
        t.ok(isEarly(due) || (due === LATER && relayed && !waiting), `due ${due} after ${before} commands`)
      }
      if (sent.length < before) {
        t.strictSame(await inStatus(next.ref), ['pending'])
        t.equal(await dueAt(next.ref), LATER)
        t.equal(await redis.xlen(keys.outbox(next.ref)), 0)
        t.strictSame(crashing.unfinished, [])
        break
      }
      if (written) t.equal(crashing.unfinished.length, sent.length < 10 ? 1 : 0, 'told, not thrown')
    }
  }
)

t.test('index and early due entry come before the write, the true due time last', async (t) => {
  const { sent, wrap } = dying(Number.POSITIVE_INFINITY)
  const watched = await open({ wrap })
  const first = connection(freshRef())
  await watched.store.commit({ seen: undefined, next: first, dueAt: LATER, events: [CONNECTED] })
  const relay = ['xrange', 'xadd', 'ztbRelayed']
  t.strictSame(sent, ['zadd', 'zadd', 'ztbCommitBuffer', ...relay, 'zadd', 'zadd', 'ztbLookBuffer'])
  sent.length = 0
  await watched.store.commit({ seen: first, next: successor(first), dueAt: undefined })
  t.strictSame(sent, ['ztbCommitBuffer', 'zrem', 'ztbLookBuffer'], 'nothing to do later, nothing to prepare')
})

t.test('a due time that overtakes the one of a later write is looked at soon', async (t) => {
  const first = await stored()
  const second = successor(first)
  const third = successor(second, { status: 'disconnecting' })
  const slow = await open({
    // Between its write and its due time another process writes, with its own due time.
    wrap: wrapCommands(async (name, _args, send) => {
      const reply = await send()
      if (name === 'ztbCommitBuffer') await store.commit({ seen: second, next: third, dueAt: 1 })
      return reply
    })
  })
  await slow.store.commit({ seen: first, next: second, dueAt: LATER })
  t.ok(isEarly(await dueAt(first.ref)))
})

t.test('a connection is listed under its status while it is not active', async (t) => {
  let last = await stored(freshRef(), { status: 'pending' })
  t.strictSame(await inStatus(last.ref), ['pending'])
  const path = [
    'active',
    'reconnect_required',
    'reconnect_required',
    'disconnecting',
    'disconnected',
    'active'
  ] as const
  for (const status of path) {
    const next = successor(last, { status })
    await store.commit({ seen: last, next, dueAt: undefined })
    t.strictSame(await inStatus(last.ref), status === 'active' ? [] : [status])
    last = next
  }
})

t.test('a write whose first try was cut off after the record finishes its indexes on the second', async (t) => {
  const first = await stored()
  const { wrap } = dying(2)
  const crashing = await open({ wrap })
  const input: CommitInput = {
    seen: first,
    next: successor(first, { status: 'reconnect_required' }),
    dueAt: LATER + 1,
    events: [CONNECTED]
  }
  await crashing.store.commit(input)
  t.ok(isEarly(await dueAt(first.ref)))
  await store.commit(input)
  t.strictSame(await inStatus(first.ref), ['reconnect_required'])
  t.equal(await dueAt(first.ref), LATER + 1)
  t.equal((await relayedEvents(redis, keys, refKey(first.ref))).length, 1)
})

t.test('the outbox is relayed in order, whatever its length, and an empty one does not stay for ever', async (t) => {
  const first = await stored()
  const crashing = await open({ wrap: dying(2).wrap })
  const events = Array.from({ length: 230 }, (_, at) => ({ ...CONNECTED, at }))
  await crashing.store.commit({ seen: first, next: successor(first), dueAt: LATER, events })
  t.equal(await redis.xlen(keys.outbox(first.ref)), 230)
  t.equal(await redis.pttl(keys.outbox(first.ref)), -1, 'what waits does not expire')
  await under.auditLog.relayOutbox(first.ref)
  t.equal(await redis.xlen(keys.outbox(first.ref)), 0)
  t.ok((await redis.pttl(keys.outbox(first.ref))) > 0)
  t.strictSame(await relayedEvents(redis, keys, refKey(first.ref)), events)

  const current = await store.read(first.ref)
  if (!current) return t.fail('it is gone')
  await crashing.store
    .commit({ seen: current, next: successor(current), dueAt: undefined, events: [CONNECTED] })
    .catch(() => {})
  await redis.xadd(keys.outbox(first.ref), '*', 'event', JSON.stringify(CONNECTED))
  await under.auditLog.relayOutbox(first.ref)
  t.equal((await relayedEvents(redis, keys, refKey(first.ref))).length, 231)
})

t.test('a new event keeps an outbox that was about to expire', async (t) => {
  const first = await stored()
  const second = successor(first)
  await store.commit({ seen: first, next: second, dueAt: LATER, events: [CONNECTED] })
  t.ok((await redis.pttl(keys.outbox(first.ref))) > 0)
  const crashing = await open({ wrap: dying(2).wrap })
  await crashing.store.commit({ seen: second, next: successor(second), dueAt: LATER, events: [CONNECTED] })
  t.equal(await redis.pttl(keys.outbox(first.ref)), -1)
})

t.test('unchanged bytes are the same object, a write by anyone makes a new one', async (t) => {
  const first = await stored()
  const other = await open()
  const one = await store.read(first.ref)
  t.ok(one)
  t.equal(await store.read(first.ref), one)
  t.equal((await store.list(first.ref.tenant, { limit: 1 })).items[0], one, 'also in a list')
  const second = successor(first)
  await other.store.commit({ seen: first, next: second, dueAt: undefined })
  const two = await store.read(first.ref)
  t.equal(two?.revision, 2)
  const begun = await store.begin({
    ref: first.ref,
    seen: first,
    owner: 'me',
    ttlMs: 1000,
    share: 'anyone',
    limit: 3,
    windowMs: 1000,
    now: Date.now()
  })
  t.equal(begun.kind === 'changed' && begun.current, two, 'also from a script')
  await redis.del(keys.record(first.ref))
  t.equal(await store.read(first.ref), undefined, 'nothing is served that is not stored')
})

t.test('reads of one turn are one MGET, each record asked once, and a large turn goes in parts', async (t) => {
  const server = await startRedisProcess(t)
  const own = await openStore(t, { url: server.url, prefix })
  const connections = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const next = connection(freshRef())
      await own.store.commit({ seen: undefined, next, dueAt: undefined })
      return next
    })
  )
  const counted = async () => {
    const stats = await own.clients.fast.info('commandstats')
    return Number(/cmdstat_mget:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  const asked = [...connections, ...connections].map(({ ref }) => own.store.read(ref))
  const read = await Promise.all(asked)
  t.equal(await counted(), 1)
  t.strictSame(
    read.map((found) => found?.writeId),
    [...connections, ...connections].map(({ writeId }) => writeId)
  )
  t.equal(read[0], read[20])

  const small = createBatchReader({ client: own.clients.fast, call: own.call, keys: own.keys, maxBatch: 8 })
  const again = await Promise.all(connections.map(({ ref }) => small.read(ref)))
  t.equal(await counted(), 4)
  t.equal(again.filter(Boolean).length, 20)
})

t.test('a damaged record fails those who ask for it, is kept as it is, and spares the rest of its batch', async (t) => {
  const [whole, broken] = [await stored(), await stored()]
  await redis.set(keys.record(broken.ref), 'nonsense')
  const [good, bad, missing] = await Promise.allSettled([
    store.read(whole.ref),
    store.read(broken.ref),
    store.read(freshRef())
  ])
  t.match(good, { status: 'fulfilled', value: { writeId: whole.writeId } })
  t.match(bad, { status: 'rejected', reason: { code: 'ERR_INTERNAL' } })
  t.match(missing, { status: 'fulfilled', value: undefined })
  for (const seen of [undefined, broken]) {
    const next = seen ? successor(seen) : connection(broken.ref)
    await t.rejects(store.commit({ seen, next, dueAt: undefined }), { code: 'ERR_INTERNAL', message: /acme|t-/ })
  }
  t.equal(await redis.get(keys.record(broken.ref)), 'nonsense')
  await redis.set(keys.record(broken.ref), '')
  await t.rejects(store.commit({ seen: undefined, next: connection(broken.ref), dueAt: undefined }))
  t.equal(await redis.get(keys.record(broken.ref)), '', 'an empty record is not an absent one')
})

t.test('a record of a newer version is read, and neither begun nor written', async (t) => {
  const first = await stored()
  const newer = encodeRecord(first)
  newer[0] = 2
  await redis.set(keys.record(first.ref), newer)
  const read = await store.read(first.ref)
  t.match(read, { readOnly: true, status: 'active' })
  if (!read) return
  const asks = { ref: first.ref, owner: 'me', ttlMs: 1, share: 'anyone', limit: 1, windowMs: 1, now: 1 } as const
  await t.rejects(store.begin({ ...asks, seen: read }), { code: 'ERR_RECORD_TOO_NEW' })
  await t.rejects(store.commit({ seen: read, next: successor(read), dueAt: 1 }), { code: 'ERR_RECORD_TOO_NEW' })
  const { readOnly: _, ...unmarked } = successor(read)
  await t.rejects(store.commit({ seen: read, next: unmarked, dueAt: 1 }), { code: 'ERR_RECORD_TOO_NEW' })
  t.equal((await redis.getBuffer(keys.record(first.ref)))?.[0], 2)
})

t.test('a grant entry that cannot be understood is an error, not an absent grant', async (t) => {
  const first = await stored()
  const whole = JSON.parse(encodeWaitingGrant(waitingGrant(1)))
  const candidates = [
    null,
    {},
    { flowId: 'f', access: '', accessIssued: 1, accessExpiresAt: 2, scopes: { granted: [] } }
  ]
  const broken = [
    { ...whole, kind: 'odd' },
    { ...whole, refresh: undefined },
    { ...whole, due: 'soon' },
    { kind: 'candidate' },
    ...candidates.map((candidate) => ({ ...whole, candidate }))
  ]
  for (const entry of ['{', 'null', '[]', ...broken.map((each) => JSON.stringify(each))]) {
    await redis.hset(keys.grants(first.ref), '1', entry)
    await t.rejects(store.waitingGrants(first.ref), { code: 'ERR_INTERNAL', message: /Grant 1 of/ })
  }
})

t.test('an index entry without a record is skipped in a list', async (t) => {
  const { tenant } = freshRef()
  await stored({ tenant, connection: 'b' })
  await redis.zadd(keys.index(tenant), 0, `${tenant}/a`)
  const page = await store.list(tenant, { limit: 1 })
  t.strictSame(page, { items: [], next: 'a' })
  t.equal((await store.list(tenant, { limit: 1, after: 'a' })).items[0]?.ref.connection, 'b')
})

t.test('what is kept beside a record ends by itself', async (t) => {
  const ref = freshRef()
  const asks = { ref, seen: undefined, owner: 'me', share: 'anyone', limit: 9, now: Date.now() } as const
  await store.begin({ ...asks, ttlMs: 15_000, windowMs: 600_000 })
  const lease = await redis.pttl(keys.lease(ref))
  t.ok(lease > 10_000 && lease <= 15_000)
  t.ok((await redis.pttl(keys.budget(ref))) > 500_000)
  const next = connection(ref)
  await store.commit({ seen: undefined, next, dueAt: undefined, closeBudgetUntil: Date.now() + 900_000 })
  t.ok((await redis.pttl(keys.budget(ref))) > 800_000, 'a closing time that is later')
  const after = successor(next)
  await store.commit({ seen: next, next: after, dueAt: undefined, closeBudgetUntil: Date.now() + 1000 })
  t.ok((await redis.pttl(keys.budget(ref))) > 800_000, 'is not cut short by an earlier one')
  await store.release(ref, 'me')
})

t.test('a server that forgot the scripts is told them again', async (t) => {
  const server = await startRedisProcess(t)
  const own = await openStore(t, { url: server.url, prefix })
  const first = connection(freshRef())
  const asks = {
    ref: first.ref,
    seen: undefined,
    ttlMs: 9000,
    share: 'anyone',
    limit: 9,
    windowMs: 9000,
    now: 1
  } as const
  for (let round = 0; round < 2; round++) {
    const owner = `round ${round}`
    t.match(await own.store.begin({ ...asks, owner, seen: round ? first : undefined }), { kind: 'go' })
    t.equal(await own.store.renew(first.ref, owner, 9000), true)
    await own.store.release(first.ref, owner)
    const input = { seen: undefined, next: first, dueAt: 1, events: [CONNECTED], durable: round === 1 }
    t.strictSame(await own.store.commit(input), { kind: 'written' })
    await own.clients.fast.script('FLUSH')
  }
  t.strictSame(own.unfinished, [])
})

t.test('a durable write waits for its replicas and says when they are too few', async (t) => {
  const server = await startRedisProcess(t)
  const replica = await startRedisProcess(t)
  const own: OpenStore = await openStore(t, { url: server.url, prefix, replicas: { count: 1, waitMs: 100 } })
  const first = connection(freshRef())
  const input = { seen: undefined, next: first, dueAt: undefined, durable: true }
  await t.rejects(own.store.commit(input), { code: 'ERR_NOT_DURABLE', retryAfterMs: 1000 })
  t.ok(await own.store.read(first.ref), 'it is written all the same')
  t.strictSame(await own.store.commit({ ...input, durable: false }), { kind: 'written' }, 'others do not wait')

  await server.client().config('SET', 'repl-diskless-sync-delay', '0')
  await replica.client().replicaof('127.0.0.1', server.port)
  await t.rejects(own.store.commit(input), { code: 'ERR_NOT_DURABLE' }, 'a wait behind no write proves nothing')
  let last = first
  let answer: unknown
  for (let tries = 0; tries < 100 && answer === undefined; tries++) {
    const next = successor(last)
    answer = await own.store.commit({ seen: last, next, dueAt: undefined, durable: true }).catch(() => undefined)
    last = next
  }
  t.strictSame(answer, { kind: 'written' })
  await own.clients.durable.script('FLUSH')
  t.strictSame(await own.store.commit({ seen: last, next: successor(last), dueAt: undefined, durable: true }), {
    kind: 'written'
  })
})

t.test('an error of the server carries neither the command nor its arguments', async (t) => {
  const server = await startRedisProcess(t)
  const own = await openStore(t, { url: server.url, prefix })
  await server.client().config('SET', 'maxmemory', '1')
  const next = connection(freshRef())
  const error = await own.store.commit({ seen: undefined, next, dueAt: undefined }).catch((error) => error)
  t.match(error, { code: 'ERR_STORE_UNAVAILABLE', retryAfterMs: 1000, cause: { message: /^OOM/ } })
  t.notMatch(inspect(error, { depth: 9, showHidden: true }), /sealed|args|ztb:|zadd/i)
})

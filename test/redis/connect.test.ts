import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import type { ConnectLink } from '../../src/domain/connect-link.ts'
import type { Connection } from '../../src/domain/connection.ts'
import { refKey } from '../../src/domain/ids.ts'
import { createAuditLog } from '../../src/redis/audit-log.ts'
import { createDueIndex } from '../../src/redis/due-index.ts'
import { watchEvictionPolicy } from '../../src/redis/eviction-policy.ts'
import { createExposure } from '../../src/redis/exposure.ts'
import { createIndexes } from '../../src/redis/indexes.ts'
import { createKeys } from '../../src/redis/keys.ts'
import { SCRIPTS } from '../../src/redis/scripts.ts'
import {
  connectFlow,
  connection,
  connectLink,
  eventually,
  freshRef,
  successor,
  waitingGrant
} from '../helpers/connections.ts'
import { dying, wrapCommands } from '../helpers/dying-client.ts'
import { startRedisProcess, testRedis } from '../helpers/redis.ts'
import { openStore, relayedEvents } from '../helpers/redis-store.ts'

const EARLY_MS = 30_000
const LATER = 9_000_000_000_000
const STARTED = { type: 'connect_flow.started', at: 1, actor: 'link:l', data: { flow: 'f' } }
const STATUSES = ['pending', 'reconnect_required', 'disconnecting', 'disconnected'] as const

const { url, prefix } = await testRedis(t)
const open = (more: Partial<Parameters<typeof openStore>[1]> = {}) => openStore(t, { url, prefix, ...more })
const under = await open()
const { store, connectStore, dueIndex, tombstones, clients, keys, call } = under
const redis = clients.fast

type Ref = Connection['ref']

async function stored(changes: Partial<Connection> = {}, dueAt = LATER): Promise<Connection> {
  const first = connection(freshRef(), changes)
  await store.commit({ seen: undefined, next: first, dueAt })
  return first
}

async function dueAt(ref: Ref): Promise<number | undefined> {
  const score = await redis.zscore(keys.due(ref), refKey(ref))
  return score === null ? undefined : Number(score)
}

const isEarly = (due: number | undefined) => due !== undefined && due <= Date.now() + EARLY_MS
const isListed = async (ref: Ref) => (await redis.zscore(keys.index(ref.tenant), refKey(ref))) !== null
const eventsOf = async (ref: Ref) =>
  (await redis.xlen(keys.outbox(ref))) + (await relayedEvents(redis, keys, refKey(ref))).length
const inStatus = async (ref: Ref) => {
  const scores = await Promise.all(STATUSES.map((status) => redis.zscore(keys.status(status), refKey(ref))))
  return STATUSES.filter((_, i) => scores[i] !== null)
}

t.test('a crash after any step of a change leaves it undone, or done with a look soon and its event', async (t) => {
  for (let before = 0; ; before++) {
    const { sent, wrap } = dying(before)
    const crashing = await open({ wrap })
    const { ref } = await stored()
    const next = connectFlow('l', { deadline: 700 })
    const changes = [{ kind: 'flow', id: next.id, seen: undefined, next }] as const
    const done = await crashing.connectStore.change(ref, { changes, events: [STARTED] }).catch(() => false)
    const { flows } = await connectStore.items(ref)
    t.equal(flows.length, sent.includes('ztbChangeBuffer') ? 1 : 0)
    t.equal(done, flows.length === 1)
    if (done) {
      t.ok(isEarly(await dueAt(ref)), `due soon after ${before} commands`)
      t.ok((await eventsOf(ref)) > 0)
    }
    if (sent.length < before) {
      t.equal(await dueAt(ref), 700)
      t.strictSame(crashing.unfinished, [])
      break
    }
    if (done) t.equal(crashing.unfinished.length, sent.length < 6 ? 1 : 0, 'told, not thrown')
  }
})

t.test('a crash after any step of a removal leaves a record, or what the sweep clears away', async (t) => {
  for (let before = 0; ; before++) {
    const { sent, wrap } = dying(before)
    const crashing = await open({ wrap })
    const first = await stored({ status: 'disconnected' })
    const { ref } = first
    await crashing.tombstones.remove(ref, first).catch(() => {})
    const gone = (await store.read(ref)) === undefined
    t.equal(gone, sent.includes('ztbRemove'))
    if (!gone) {
      t.ok(await isListed(ref))
      t.strictSame(await inStatus(ref), ['disconnected'])
      t.not(await dueAt(ref), undefined)
      continue
    }
    const left = (await isListed(ref)) || (await inStatus(ref)).length > 0
    t.ok(!left || isEarly(await dueAt(ref)), `cleared, or looked at soon, after ${before} commands`)
    t.strictSame((await store.list(ref.tenant, { limit: 9 })).items, [])
    await dueIndex.settle(ref, undefined, undefined)
    t.notOk(await isListed(ref))
    t.strictSame(await inStatus(ref), [])
    t.equal(await dueAt(ref), undefined)
    if (sent.length < before) break
  }
})

t.test('a connection that is made again while its old one is removed stays listed', async (t) => {
  const again = (ref: Ref) => connection(ref, { status: 'pending' })
  // Before which of the removal's clearing steps the other process comes.
  for (let step = 1; step <= 7; step++) {
    const first = await stored({ status: 'disconnected' })
    const next = again(first.ref)
    let cleared = 0
    const racing = await open({
      wrap: wrapCommands(async (name, _args, send) => {
        if ((name === 'zrem' || name === 'getrangeBuffer') && ++cleared === step) {
          await store.commit({ seen: undefined, next, dueAt: LATER })
        }
        return send()
      })
    })
    t.equal(await racing.tombstones.remove(first.ref, first), true)
    t.equal((await store.list(first.ref.tenant, { limit: 1 })).items[0]?.writeId, next.writeId, `at step ${step}`)
    t.ok((await inStatus(first.ref)).includes('pending'))
    t.not(await dueAt(first.ref), undefined)
  }
})

t.test('events in the outbox are relayed before a record is removed, also one that comes last', async (t) => {
  const first = await stored()
  await redis.xadd(keys.outbox(first.ref), '*', 'event', JSON.stringify(STARTED))
  let late = true
  const racing = await open({
    wrap: wrapCommands(async (name, _args, send) => {
      if (name === 'ztbRemove' && late) {
        late = false
        await redis.xadd(keys.outbox(first.ref), '*', 'event', JSON.stringify(STARTED))
      }
      return send()
    })
  })
  t.equal(await racing.tombstones.remove(first.ref, first), true)
  t.strictSame(await relayedEvents(redis, keys, refKey(first.ref)), [STARTED, STARTED])
  t.strictSame(await redis.keys(`${prefix}:[cgklbx]:{${refKey(first.ref)}}`), [])

  const second = await stored()
  const endless = await open({
    wrap: wrapCommands(async (name, _args, send) => {
      if (name === 'ztbRemove') await redis.xadd(keys.outbox(second.ref), '*', 'event', JSON.stringify(STARTED))
      return send()
    })
  })
  await t.rejects(endless.tombstones.remove(second.ref, second), { code: 'ERR_STORE_UNAVAILABLE' })
  t.ok(await store.read(second.ref))
})

t.test('a record of a newer version is not removed', async (t) => {
  const first = await stored()
  await redis.setrange(keys.record(first.ref), 0, '\x02')
  await t.rejects(tombstones.remove(first.ref, first), { code: 'ERR_RECORD_TOO_NEW' })
})

t.test('a commit relays what a crash of an earlier writer left in the outbox', async (t) => {
  const first = await stored()
  await redis.xadd(keys.outbox(first.ref), '*', 'event', JSON.stringify(STARTED))
  await store.commit({ seen: first, next: successor(first), dueAt: LATER })
  t.strictSame(await relayedEvents(redis, keys, refKey(first.ref)), [STARTED])
  t.equal(await dueAt(first.ref), LATER)
})

t.test('a true time that overtakes a change of links or an event is looked at soon', async (t) => {
  const next = connectFlow('l', { deadline: Date.now() + 600_000 })
  const disturbances: ((ref: Ref) => Promise<unknown>)[] = [
    (ref) => connectStore.change(ref, { changes: [{ kind: 'flow', id: next.id, seen: undefined, next }] }),
    (ref) => redis.xadd(keys.outbox(ref), '*', 'event', JSON.stringify(STARTED))
  ]
  for (const disturb of disturbances) {
    const first = await stored()
    const slow = await open({
      wrap: wrapCommands(async (name, _args, send) => {
        const reply = await send()
        if (name === 'ztbCommitBuffer' || name === 'ztbLookBuffer') await disturb(first.ref)
        return reply
      })
    })
    const second = successor(first)
    await slow.store.commit({ seen: first, next: second, dueAt: LATER })
    t.ok(isEarly(await dueAt(first.ref)), 'after a commit')
    await redis.del(keys.connect(first.ref))
    await slow.dueIndex.settle(first.ref, second, LATER)
    t.ok(isEarly(await dueAt(first.ref)), 'after settling')
  }
})

t.test('what cannot be understood has no due time, and is an error to whoever reads it', async (t) => {
  const first = await stored()
  const broken = { a: '{', b: 'null', c: '[1]', d: '"due"', e: '{"due":null}', f: '{"due":"soon"}' }
  await redis.hset(keys.grants(first.ref), broken)
  await redis.hset(keys.connect(first.ref), { 'link:a': '{"id":"a"}', 'flow:b': '{"status":"done"}', odd: '{}' })
  await store.commit({ seen: first, next: successor(first), dueAt: 5000 })
  t.equal(await dueAt(first.ref), 5000)
  t.strictSame(under.unfinished, [])
  await t.rejects(connectStore.items(first.ref), { code: 'ERR_INTERNAL', message: /link a of .* damaged/ })
  const link = connectLink()
  const texts = ['{', 'null', JSON.stringify({ ...link, starts: 'one' }), JSON.stringify({ ...link, confirm: 1 })]
  for (const text of texts) {
    await redis.del(keys.connect(first.ref))
    await redis.hset(keys.connect(first.ref), `link:${link.id}`, text)
    await t.rejects(connectStore.items(first.ref), { code: 'ERR_INTERNAL' })
  }
  const hash = createHash('sha256').update('x').digest('hex')
  for (const text of ['{', 'null', '{}', '{"tenant":"t"}']) {
    await redis.set(keys.state(hash), text)
    t.equal(await connectStore.takeState(hash), undefined)
  }
  for (const text of ['', 'a', 'a/b', 'a/b/', '../b/c', 'a/b/c/d']) {
    await redis.set(keys.link(hash), text)
    t.equal(await connectStore.findLink(hash), undefined, text)
  }
})

t.test('a change compares the stored bytes, in whatever order another version wrote them', async (t) => {
  const { ref } = await stored()
  const link = connectLink()
  const reversed = JSON.stringify(Object.fromEntries(Object.entries(link).reverse()), null, 1)
  await redis.hset(keys.connect(ref), `link:${link.id}`, reversed)
  const { links } = await connectStore.items(ref)
  const seen = links[0] as ConnectLink
  const untouched = { kind: 'link', id: link.id, seen, next: seen } as const
  t.equal(await connectStore.change(ref, { changes: [untouched] }), true)
  t.equal(await redis.hget(keys.connect(ref), `link:${link.id}`), reversed)
  t.equal(await connectStore.change(ref, { changes: [{ ...untouched, next: { ...seen, starts: 1 } }] }), true)
})

t.test('pointers and states end by themselves, and take only hashes for keys', async (t) => {
  const hash = createHash('sha256').update('y').digest('hex')
  const ref = freshRef()
  await connectStore.pointToLink(hash, { ref, id: 'l' }, 60_000)
  await connectStore.pointToFlow('f', { ref, id: 'f' }, 60_000)
  const state = { ...ref, flowId: 'f', linkId: 'l', app: 'desk', cookieHash: hash, verifier: 'c2VhbGVk' }
  await connectStore.putState(hash, state, 60_000)
  for (const key of [keys.link(hash), keys.flow('f'), keys.state(hash)]) {
    const left = await redis.pttl(key)
    t.ok(left > 50_000 && left <= 60_000, key)
  }
  for (const clear of [randomBytes(32).toString('base64url'), '', hash.toUpperCase()]) {
    t.throws(() => connectStore.pointToLink(clear, { ref, id: 'l' }, 1), TypeError)
    await t.rejects(connectStore.putState(clear, state, 1), TypeError)
    await t.rejects(connectStore.takeState(clear), TypeError)
  }
})

t.test('the keys of every script share one hash tag, or are one key', async (t) => {
  const seen = new Map<string, string[]>()
  const own = await open({
    wrap: wrapCommands((name, args, send) => {
      const script = name.replace(/Buffer$/, '') as keyof typeof SCRIPTS
      if (script in SCRIPTS) seen.set(script, args.slice(0, SCRIPTS[script].numberOfKeys).map(String))
      return send()
    })
  })
  const exposureClient = wrapCommands((name, args, send) => {
    seen.set(name, args.slice(0, 1).map(String))
    return send()
  })(redis)
  const first = connection({ tenant: 'a.b', connection: `c~${randomBytes(6).toString('hex')}` })
  const { ref } = first
  const asks = { ref, seen: undefined, owner: 'me', ttlMs: 9, share: 'anyone', limit: 1, windowMs: 9, now: 1 } as const
  await own.store.begin(asks)
  await own.store.renew(ref, 'me', 9)
  await own.store.release(ref, 'me')
  await own.store.commit({ seen: undefined, next: first, dueAt: 1, events: [STARTED] })
  await own.connectStore.change(ref, { changes: [] })
  await own.dueIndex.claim({ now: 1, limit: 1, visibilityMs: 1 })
  await own.tombstones.remove(ref, first)
  createExposure({ client: exposureClient, call, keys }).record({ ref, consumer: 'ops', generation: 1, at: 1 })
  t.strictSame([...seen.keys()].sort(), Object.keys(SCRIPTS).sort(), 'every script was called')
  for (const [script, named] of seen) {
    // As a cluster reads it: what stands between the first brace and the next closing one.
    const slots = new Set(named.map((key) => /\{([^}]+)\}/.exec(key)?.[1] ?? key))
    t.equal(slots.size, 1, script)
    if (named.length > 1) t.equal([...slots][0], refKey(ref), script)
    t.equal(new Set(named).size, named.length, `${script} names no key twice`)
  }
})

t.test('claims', async (t) => {
  /** A due index under a prefix of its own, with members due at 0 in the given shards. */
  async function sharded(members: Readonly<Record<number, number>>) {
    const own = createKeys(`${prefix}-${randomBytes(4).toString('hex')}`)
    for (const [shard, count] of Object.entries(members)) {
      const all = Array.from({ length: count }, (_, i) => [i, `t/${shard}-${i}`]).flat()
      await redis.zadd(own.dueShards[Number(shard)] as string, ...all)
    }
    let dropped = 0
    const indexes = createIndexes({ client: redis, call, keys: own, clock: { now: Date.now } })
    const make = (random: number) =>
      createDueIndex({
        client: redis,
        call,
        keys: own,
        indexes,
        random: () => random,
        onDropped: (count) => {
          dropped += count
        }
      })
    return { own, make, dropped: () => dropped }
  }
  const ask = (limit: number) => ({ now: 1_000_000, limit, visibilityMs: 1000 })
  const shardsOf = (refs: readonly Ref[]) => {
    const counts: Record<string, number> = {}
    for (const { connection } of refs) {
      const shard = connection.split('-')[0] ?? ''
      counts[shard] = (counts[shard] ?? 0) + 1
    }
    return counts
  }

  t.test('give every shard its part, and the rest to those with more', async (t) => {
    const { make } = await sharded({ 0: 200, 7: 3, 12: 200 })
    const claimed = await make(0).claim(ask(100))
    t.equal(claimed.length, 100)
    const counts = shardsOf(claimed)
    t.equal(counts[7], 3)
    t.ok((counts[0] ?? 0) > 40 && (counts[12] ?? 0) > 40)
    t.ok(claimed.some(({ connection }) => connection === '0-0') && claimed.some((ref) => ref.connection === '12-0'))
  })

  t.test('begin anywhere when few are left to take', async (t) => {
    const { make } = await sharded({ 0: 9, 5: 9 })
    t.strictSame(shardsOf(await make(0).claim(ask(1))), { 0: 1 })
    t.strictSame(shardsOf(await make(5.5 / 16).claim(ask(1))), { 5: 1 })
    t.strictSame(shardsOf(await make(6 / 16).claim(ask(3))), { 0: 2, 5: 1 }, 'and go on from shard to shard')
    t.equal((await make(0.99).claim(ask(100))).length, 13)
  })

  t.test('drop what names no connection, and count it', async (t) => {
    const { own, make, dropped } = await sharded({ 3: 2 })
    const shard = own.dueShards[3] as string
    await redis.zadd(shard, 0, 'nonsense', 0, 'a/b/c', 0, '../x', 0, '')
    t.equal((await make(0).claim(ask(50))).length, 2)
    t.equal(dropped(), 4)
    t.equal(await redis.zcard(shard), 2)
  })

  t.test('of the shards that answer are not lost with one that does not', async (t) => {
    const { own, make } = await sharded({ 2: 1, 3: 1 })
    await redis.set(own.dueShards[9] as string, 'not a zset')
    t.equal((await make(0).claim(ask(100))).length, 2)
    await t.rejects(make(0).claim(ask(100)), { code: 'ERR_STORE_UNAVAILABLE' })
  })

  t.test('are prolonged for work that has not started, and only forwards', async (t) => {
    const { own, make } = await sharded({})
    const refs = Array.from({ length: 20 }, () => freshRef())
    const [first, second, ...rest] = refs as [Ref, Ref, ...Ref[]]
    for (const ref of [first, ...rest]) await redis.zadd(own.due(ref), 10, refKey(ref))
    await redis.zadd(own.due(first), LATER, refKey(first))
    await make(0).renew(refs, 5000)
    t.equal(Number(await redis.zscore(own.due(first), refKey(first))), LATER)
    t.equal(await redis.zscore(own.due(second), refKey(second)), null, 'nothing comes back that was settled')
    for (const ref of rest) t.equal(Number(await redis.zscore(own.due(ref), refKey(ref))), 5000)
    await make(0).renew([], 1)
  })
})

t.test('an appended event is written beside the relayed ones; what does not fit or fails is counted', async (t) => {
  const server = await startRedisProcess(t)
  const own = await openStore(t, { url: server.url, prefix })
  let lost = 0
  const deps = { client: own.clients.fast, call: own.call, keys: own.keys, onLost: () => lost++ }
  const log = createAuditLog({ ...deps, maxPending: 3 })
  for (let i = 0; i < 5; i++) log.append(STARTED)
  t.equal(lost, 2)
  await eventually(async () => (await own.clients.fast.xlen(own.keys.audit)) === 3)
  await server.kill()
  log.append(STARTED, freshRef())
  await eventually(() => lost === 3)
  t.equal(lost, 3, 'and nothing is thrown')
})

t.test('exposure', async (t) => {
  const entry = async (ref: Ref, consumer: string) => {
    const text = await redis.hget(keys.exposure(ref), consumer)
    return text === null ? undefined : JSON.parse(text)
  }

  /** Counts the writes of an exposure of its own, a "process". */
  function process(more: { memory?: number; maxPending?: number } = {}) {
    const counts = { sent: 0, failed: 0, broken: false }
    const client = wrapCommands((_name, _args, send) => {
      counts.sent++
      return counts.broken ? Promise.reject(new Error('away')) : send()
    })(redis)
    return { counts, exposure: createExposure({ client, call, keys, onFailed: () => counts.failed++, ...more }) }
  }

  t.test('is written once per consumer, connection and generation', async (t) => {
    const { counts, exposure } = process()
    const ref = freshRef()
    const seen = { ref, consumer: 'ticket-sync', generation: 1_700_000_000, at: 1_700_000_000_500 }
    for (let i = 0; i < 5; i++) exposure.record({ ...seen, at: seen.at + i })
    t.equal(counts.sent, 1)
    await eventually(() => entry(ref, 'ticket-sync'))
    exposure.record({ ...seen, generation: seen.generation + 60, at: seen.at + 60_000 })
    exposure.record({ ...seen, consumer: '__proto__' })
    await eventually(async () => (await entry(ref, 'ticket-sync')).generation === seen.generation + 60)
    t.strictSame(await entry(ref, 'ticket-sync'), {
      first: seen.at,
      last: seen.at + 60_000,
      generation: seen.generation + 60
    })
    await eventually(() => entry(ref, '__proto__'))
    const left = await redis.pttl(keys.exposure(ref))
    t.ok(left > 89 * 86_400_000 && left <= 90 * 86_400_000)
    t.equal(counts.sent, 3)
  })

  t.test('of two processes is the whole span, in whatever order they write', async (t) => {
    const ref = freshRef()
    const [one, two] = [process(), process()]
    one.exposure.record({ ref, consumer: 'a', generation: 9, at: 900 })
    await eventually(() => entry(ref, 'a'))
    two.exposure.record({ ref, consumer: 'a', generation: 8, at: 800 })
    await eventually(async () => (await entry(ref, 'a')).first === 800)
    t.strictSame(await entry(ref, 'a'), { first: 800, last: 900, generation: 9 })
    await redis.hset(keys.exposure(ref), 'a', 'nonsense')
    one.exposure.record({ ref, consumer: 'a', generation: 10, at: 1000 })
    await eventually(async () => (await redis.hget(keys.exposure(ref), 'a')) !== 'nonsense')
    t.strictSame(await entry(ref, 'a'), { first: 1000, last: 1000, generation: 10 })
  })

  t.test('that failed or did not fit is written at a later hand-out', async (t) => {
    const { counts, exposure } = process({ maxPending: 1 })
    const seen = { ref: freshRef(), consumer: 'a', generation: 1, at: 1 }
    counts.broken = true
    exposure.record(seen)
    exposure.record({ ...seen, consumer: 'b' })
    t.equal(counts.failed, 1, 'one too many')
    await eventually(() => counts.failed === 2)
    counts.broken = false
    exposure.record(seen)
    await eventually(() => entry(seen.ref, 'a'))
    await eventually(async () => {
      exposure.record({ ...seen, consumer: 'b' })
      return entry(seen.ref, 'b')
    })
    t.pass()
  })

  t.test('remembers so many pairs and no more', async (t) => {
    const { counts, exposure } = process({ memory: 2 })
    const ref = freshRef()
    const record = (consumer: string) => exposure.record({ ref, consumer, generation: 1, at: 1 })
    for (const consumer of ['a', 'b', 'a', 'c', 'a']) record(consumer)
    t.equal(counts.sent, 3, 'the one used last is kept')
    record('b')
    t.equal(counts.sent, 4)
  })
})

t.test(
  'patient connections wait out a blocked command and a server that is away, and close with the rest',
  async (t) => {
    const server = await startRedisProcess(t)
    const own = await openStore(t, { url: server.url, prefix, silenceMs: 100 })
    const [client, other] = [own.clients.patient(), own.clients.patient()]
    t.not(client, other)
    t.equal(client.options.maxRetriesPerRequest, null)
    const blocked = client.blpop('nothing', 0.4)
    t.equal(await other.ping(), 'PONG')
    t.equal(await blocked, null, 'longer than the silence that others allow')
    await server.kill()
    await eventually(() => other.status !== 'ready')
    const waiting = other.set('k', 'v')
    await server.restart()
    t.equal(await waiting, 'OK')
    await own.clients.close(500)
    await eventually(() => client.status === 'end' && other.status === 'end')

    const last = await openStore(t, { url: server.url, prefix })
    const lost = last.clients.patient()
    await eventually(() => lost.status === 'ready')
    await server.kill()
    await eventually(() => lost.status === 'reconnecting')
    const never = t.rejects(lost.get('k'))
    await last.clients.close(50)
    await never
    t.equal(lost.status, 'end', 'what waits for a server that is away ends with the connection')
  }
)

t.test('a server that may evict is told of, again and again, and one that may not is not', async (t) => {
  const server = await startRedisProcess(t)
  const own = await openStore(t, { url: server.url, prefix })
  const told: string[] = []
  const timing = { everyMs: 5, retryMs: 5 }
  let looks = 0
  const client = {
    info: (section: string) => {
      looks++
      return looks === 1 ? Promise.reject(new Error('away')) : own.clients.fast.info(section)
    }
  }
  const watch = watchEvictionPolicy({
    client: client as never,
    call,
    ...timing,
    onEvictionPolicy: (policy) => told.push(policy)
  })
  t.teardown(() => watch.close())
  await eventually(() => looks > 3)
  t.strictSame(told, [])
  await server.client().config('SET', 'maxmemory-policy', 'allkeys-lru')
  await eventually(() => told.length >= 2)
  watch.close()
  t.ok(told.every((policy) => policy === 'allkeys-lru'))
})

t.test('a waiting grant is stored with its sealed bytes and read back whole, unknown members too', async (t) => {
  const { ref } = await stored()
  const grant = waitingGrant(7, {
    kind: 'candidate',
    zohoUser: '42',
    since: 3,
    revoking: true,
    candidate: {
      flowId: 'f',
      scopes: { requested: ['a', 'b'], granted: ['a'] },
      sealedAccess: Buffer.from('sealed access'),
      accessIssued: 1,
      accessExpiresAt: 2
    },
    ...{ fromTheFuture: [1] }
  })
  const first = await store.read(ref)
  if (!first) return t.fail('it is gone')
  const second = successor(first)
  await store.commit({ seen: first, next: second, dueAt: LATER, grants: [{ number: 7, entry: grant }] })
  const [read] = await store.waitingGrants(ref)
  t.strictSame(read, grant)
  if (!read) return
  await store.commit({ seen: second, next: successor(second), dueAt: LATER, grants: [{ number: 7, entry: read }] })
  t.strictSame(await store.waitingGrants(ref), [grant])
})

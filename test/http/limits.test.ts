import fc from 'fast-check'
import { Redis } from 'ioredis'
import t from 'tap'
import { type Bucket, createTokenBuckets, take } from '../../src/http/token-bucket.ts'
import { startTcpProxy, testRedis } from '../helpers/redis.ts'
import { asAdmin, asService, NOW, startHttp, TOKEN_URL } from './harness.ts'

const ONE = '/v1/tenants/acme/connections/desk'
const FAIL_FAST = { enableOfflineQueue: false, commandTimeout: 200, maxRetriesPerRequest: 0 } as const

t.test('a bucket starts full, gives its burst, then one request per refill', async (t) => {
  const limit = { perSecond: 2, burst: 3 }
  let bucket: Bucket | undefined
  const ask = (now: number) => {
    const taken = take(limit, bucket, now)
    bucket = taken.bucket
    return [taken.allowed, taken.remaining, taken.retryAfterMs, taken.fullInMs]
  }
  t.strictSame(ask(0), [true, 2, 0, 500])
  t.strictSame(ask(0), [true, 1, 0, 1000])
  t.strictSame(ask(0), [true, 0, 0, 1500])
  t.strictSame(ask(0), [false, 0, 500, 1500])
  t.strictSame(ask(499), [false, 0, 1, 1001])
  t.strictSame(ask(500), [true, 0, 0, 1500])
  t.strictSame(ask(100_000), [true, 2, 0, 500], 'it never holds more than its burst')
})

t.test('a clock that goes back refills nothing and blocks nobody for longer', async (t) => {
  const limit = { perSecond: 1, burst: 1 }
  const spent = take(limit, undefined, 1_000_000).bucket
  const back = take(limit, spent, 0)
  t.match(back, { allowed: false, retryAfterMs: 1000 })
  t.equal(take(limit, back.bucket, 1000).allowed, true)
})

t.test(
  'in any order of times no window lets more through than burst plus refill, and Retry-After is kept',
  async () => {
    const arrivals = fc.array(fc.nat(2000), { minLength: 1, maxLength: 200 })
    const limits = fc.record({ perSecond: fc.integer({ min: 1, max: 50 }), burst: fc.integer({ min: 1, max: 20 }) })
    fc.assert(
      fc.property(limits, arrivals, (limit, gaps) => {
        let now = 0
        let bucket: Bucket | undefined
        let passed = 0
        for (const gap of gaps) {
          now += gap
          const taken = take(limit, bucket, now)
          bucket = taken.bucket
          if (taken.allowed) passed++
          else if (!take(limit, bucket, now + taken.retryAfterMs).allowed) return false
        }
        return passed <= limit.burst + (now * limit.perSecond) / 1000
      })
    )
  }
)

t.test('each consumer has a bucket of its own', async (t) => {
  const takeFrom = createTokenBuckets({ perSecond: 1, burst: 1 }, () => NOW)
  t.equal(takeFrom('a').allowed, true)
  t.equal(takeFrom('a').allowed, false)
  t.equal(takeFrom('b').allowed, true)
})

t.test(
  'over its allowance a consumer gets 429 with the time to wait, others are served, and it is recorded',
  async (t) => {
    const { api, clock, calls, handOuts } = await startHttp(t, { tokenLimit: { perSecond: 2, burst: 3 } })
    const ask = (headers: object) => api.inject({ method: 'POST', url: TOKEN_URL, headers: { ...headers } })
    const first = await ask(asService)
    t.equal(first.headers['ratelimit-policy'], '"token";q=3;w=2')
    t.equal(first.headers.ratelimit, '"token";r=2;t=1')
    await ask(asService)
    await ask(asService)
    clock.at += 100
    const refused = await ask(asService)
    t.equal(refused.statusCode, 429)
    t.match(refused.json(), { code: 'ERR_RATE_LIMITED', status: 429 })
    t.equal(refused.headers['retry-after'], '1')
    t.equal(refused.headers.ratelimit, '"token";r=0;t=2')
    t.equal((await ask(asAdmin)).statusCode, 200)
    t.match(handOuts[3], { consumer: 'ticket-sync', outcome: 'ERR_RATE_LIMITED' })
    t.equal(calls.length, 4)
    clock.at += 400
    t.equal((await ask(asService)).statusCode, 200)
  }
)

t.test('token and rejected share one allowance', async (t) => {
  const { api } = await startHttp(t, { tokenLimit: { perSecond: 1, burst: 1 } })
  await api.inject({ method: 'POST', url: TOKEN_URL, headers: asService })
  const url = `${TOKEN_URL}/rejected`
  const response = await api.inject({ method: 'POST', url, headers: asService, payload: { generation: 1 } })
  t.equal(response.json().code, 'ERR_RATE_LIMITED')
})

t.test('all admin routes of all processes share one count per consumer, kept under its name', async (t) => {
  const redis = await testRedis(t)
  const limitBy = () => ({ perMinute: 3, limiter: redis.client({ maxRetriesPerRequest: 0 }), prefix: redis.prefix })
  const one = await startHttp(t, { adminLimit: limitBy() })
  const two = await startHttp(t, { adminLimit: limitBy() })

  const first = await one.api.inject({ url: ONE, headers: asAdmin })
  t.equal(first.statusCode, 200)
  t.equal(first.headers['ratelimit-policy'], '"admin";q=3;w=60')
  t.equal(first.headers.ratelimit, '"admin";r=2;t=60')
  t.notOk(Object.keys(first.headers).some((name) => name.startsWith('x-ratelimit')))
  t.equal((await two.api.inject({ url: '/v1/apps', headers: asAdmin })).statusCode, 200)
  t.equal((await two.api.inject({ method: 'POST', url: `${ONE}/refresh`, headers: asAdmin })).statusCode, 200)

  const refused = await one.api.inject({ url: ONE, headers: asAdmin })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { code: 'ERR_RATE_LIMITED' })
  const retryAfter = Number(refused.headers['retry-after'])
  t.ok(retryAfter >= 1 && retryAfter <= 60)
  t.notOk(one.calls.length > 1, 'the refused request reached nothing')

  t.equal(
    (await one.api.inject({ url: '/v1/apps', headers: asService })).statusCode,
    403,
    'another consumer counts alone'
  )
  t.equal((await one.api.inject({ method: 'POST', url: TOKEN_URL, headers: asAdmin })).statusCode, 200)
  t.strictSame((await redis.client().keys(`${redis.prefix}:*`)).sort(), [
    `${redis.prefix}:limit:ops`,
    `${redis.prefix}:limit:ticket-sync`
  ])
})

t.test('strangers leave no counter behind', async (t) => {
  const redis = await testRedis(t)
  const { api } = await startHttp(t, {
    adminLimit: { perMinute: 3, limiter: redis.client(), prefix: redis.prefix }
  })
  await api.inject({ url: '/v1/apps', headers: { authorization: 'Bearer unknown' } })
  t.strictSame(await redis.client().keys(`${redis.prefix}:*`), [])
})

t.test(
  'with its store away or frozen the admin routes answer 503 fast, tokens go on, and it heals by itself',
  async (t) => {
    const redis = await testRedis(t)
    const proxy = await startTcpProxy(t, redis.url)
    const limiter = new Redis(proxy.url, {
      ...FAIL_FAST,
      retryStrategy: () => 20
    })
    limiter.on('error', () => {})
    t.teardown(() => limiter.disconnect())
    const { api, calls, faults } = await startHttp(t, { adminLimit: { perMinute: 100, limiter, prefix: redis.prefix } })
    const read = () => api.inject({ url: ONE, headers: asAdmin })
    const healthy = async () => {
      const deadline = Date.now() + 5000
      while ((await read()).statusCode !== 200) {
        if (Date.now() > deadline) throw new Error('the limiter did not come back')
        await new Promise((resolve) => setImmediate(resolve))
      }
    }

    for (const [hurt, heal] of [
      [() => proxy.freeze(), () => proxy.thaw()],
      [() => proxy.cut(), () => proxy.heal()]
    ] as const) {
      await healthy()
      await hurt()
      calls.length = 0
      const response = await read()
      t.equal(response.statusCode, 503)
      t.match(response.json(), {
        code: 'ERR_STORE_UNAVAILABLE',
        detail: 'The store does not answer; repeat a little later.'
      })
      t.equal(response.headers['retry-after'], '1')
      t.strictSame(calls, [])
      t.equal((await api.inject({ method: 'POST', url: TOKEN_URL, headers: asAdmin })).statusCode, 200)
      await heal()
    }
    await healthy()
    t.strictSame(faults, [])
  }
)

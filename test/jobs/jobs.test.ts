import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { freePort } from '../../src/commands/redis-probe.ts'
import { byDeadline } from '../../src/domain/deadline.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import { type ConnectionRef, parseRefKey, refKey } from '../../src/domain/ids.ts'
import type { JobEvent } from '../../src/jobs/events.ts'
import { createJobs, type JobsDeps } from '../../src/jobs/jobs.ts'
import type { JobSettings } from '../../src/jobs/settings.ts'
import { eventually } from '../helpers/connections.ts'
import { redisTexts } from '../helpers/leaks.ts'
import { startRedisProcess, testRedis } from '../helpers/redis.ts'
import type { WorkerProcessInput } from './fixtures/worker-process.ts'

const redis = await testRedis(t)
const control = redis.client()
let prefixes = 0

/** So that a job whose worker has gone is found within a second or two. */
const IMPATIENT: Partial<JobSettings> = { lockDurationMs: 600 }

const QUICK: Partial<JobSettings> = {
  sweepEveryMs: 100,
  schedulerUpsertEveryMs: 300,
  lockDurationMs: 2000,
  stalledIntervalMs: 300
}

const freshPrefix = () => `${redis.prefix}-${++prefixes}`
const refs = (count: number): ConnectionRef[] =>
  Array.from({ length: count }, (_, index) => ({ tenant: 'acme', connection: `c${index + 1}` }))
const sorted = (all: readonly ConnectionRef[]) => all.map(refKey).sort()

interface Opened {
  readonly prefix: string
  /** What `claim` hands out, once each. */
  readonly due: ConnectionRef[]
  readonly attended: ConnectionRef[]
  readonly revoked: ConnectionRef[]
  readonly events: JobEvent[]
  readonly sweeps: () => number
  readonly jobs: ReturnType<typeof createJobs>
}

interface Opening extends Partial<Omit<JobsDeps, 'settings'>> {
  readonly url?: string
  readonly due?: ConnectionRef[]
  readonly settings?: Partial<JobSettings>
}

/** Jobs that work at once, on ports of the test. */
function open(t: Test, { url = redis.url, due = [], settings, ...deps }: Opening = {}): Opened {
  const prefix = deps.prefix ?? freshPrefix()
  const attended: ConnectionRef[] = []
  const revoked: ConnectionRef[] = []
  const events: JobEvent[] = []
  const jobs = createJobs({
    connect: () => new Redis(url, { maxRetriesPerRequest: null, disconnectTimeout: 50, retryStrategy: () => 50 }),
    role: 'worker',
    claim: async ({ limit }) => due.splice(0, limit),
    attend: async (ref) => {
      attended.push(ref)
    },
    revokeDue: async (ref) => {
      revoked.push(ref)
    },
    clock: { now: Date.now },
    onEvent: (event) => events.push(event),
    ...deps,
    prefix,
    settings: { ...QUICK, ...settings }
  })
  jobs.start()
  t.teardown(() => jobs.close(100))
  return { prefix, due, attended, revoked, events, jobs, sweeps: () => events.filter(isSweep).length }
}

const isSweep = (event: JobEvent) => event.type === 'sweep.ran'

/** A port that waits until the test lets go. */
function gate() {
  const begun: ConnectionRef[] = []
  const { promise, resolve: release } = Promise.withResolvers<void>()
  return {
    begun,
    release,
    run: async (ref: ConnectionRef) => {
      begun.push(ref)
      await promise
    }
  }
}

/** The payloads of all jobs in a queue, and its keys. */
async function stored(prefix: string, queue: string) {
  const texts = await redisTexts(control, prefix)
  const start = `Redis {${prefix}:q:${queue}}:`
  const jobs = texts.filter(([where]) => where.startsWith(start) && /:\d+$/.test(where))
  return {
    keys: texts.map(([where]) => where.slice('Redis '.length)),
    payloads: jobs.map(([, text]) => JSON.parse(JSON.parse(text.slice(text.indexOf('\n') + 1)).data))
  }
}

const deleteQueues = async (prefix: string) => {
  const { keys } = await stored(prefix, 'sweep')
  if (keys.length > 0) await control.del(keys)
}

// First, since timers of BullMQ outlive these by some seconds and would hold up the end of the file.
t.test('close ends in time when Redis is gone, was never there or does not answer', async (t) => {
  const gone = await startRedisProcess(t)
  const frozen = await startRedisProcess(t)
  const never = `redis://127.0.0.1:${await freePort()}`
  const afterKill = open(t, { url: gone.url })
  const afterPause = open(t, { url: frozen.url })
  const started = open(t, { url: never })
  await eventually(() => afterKill.sweeps() > 0 && afterPause.sweeps() > 0)
  await gone.kill()
  await eventually(() => afterKill.events.some(({ type }) => type === 'worker.error'))
  frozen.pause()
  t.teardown(() => frozen.resume())
  await afterPause.jobs.kickRevoke(refs(1))
  t.pass('a kick does not wait for an answer either')
  const closing = [afterKill, afterPause, started].map(({ jobs }) => jobs.close(300).then(() => 'closed'))
  t.strictSame(await Promise.all(closing.map((each) => byDeadline(each, 3000))), ['closed', 'closed', 'closed'])
})

t.test('workers survive a Redis that goes away and comes back empty', async (t) => {
  const own = await startRedisProcess(t)
  const { due, attended, revoked, events, jobs } = open(t, {
    url: own.url,
    // Far apart: the return of the connection alone brings the sweep back.
    settings: { schedulerUpsertEveryMs: 3_600_000 }
  })
  due.push(...refs(1))
  await eventually(() => attended.length === 1)
  await own.kill()
  await eventually(() => events.some(({ type }) => type === 'worker.error'))
  await jobs.kickRevoke(refs(1))
  t.pass('a kick does not wait for Redis')
  due.push(...refs(2))
  await own.restart()
  await eventually(() => attended.length >= 3, 15_000)
  await eventually(async () => {
    await jobs.kickRevoke(refs(1))
    return revoked.length > 0
  }, 15_000)
  const errors = events.filter((event) => event.type === 'worker.error')
  t.ok(errors.length <= 12, `told once per queue and reason, not per try (${errors.length})`)
  for (const { reason } of errors) t.match(reason, /^[A-Za-z_]+$/)
})

t.test('what is due is claimed and attended to once', async (t) => {
  const { attended, events } = open(t, { due: refs(120), settings: { claimLimit: 70 } })
  await eventually(() => attended.length >= 120)
  t.strictSame(sorted(attended), sorted(refs(120)))
  await eventually(() => events.some((event) => event.type === 'sweep.ran' && event.claimed === 120))
  t.notOk(events.find((event) => event.type !== 'sweep.ran'))
})

t.test('the claim is asked with the time of the clock, the limit and the visibility', async (t) => {
  const asked: unknown[] = []
  const clock = { now: () => 42 }
  const claim = async (input: unknown) => {
    asked.push(input)
    return []
  }
  open(t, { clock, claim, settings: { claimLimit: 7, visibilityMs: 9000 } })
  await eventually(() => asked.length > 0)
  t.strictSame(asked[0], { now: 42, limit: 7, visibilityMs: 9000 })
})

t.test('jobs hold ids only, in batches, and every queue lies in one slot', async (t) => {
  const { run, begun, release } = gate()
  const { prefix, jobs } = open(t, {
    due: refs(11),
    attend: run,
    revokeDue: run,
    settings: { batchSize: 4, refreshConcurrency: 1, batchConcurrency: 3 }
  })
  await eventually(() => begun.length >= 3)
  await jobs.kickRevoke(refs(1))
  await eventually(() => begun.length >= 4)

  const { keys, payloads } = await stored(prefix, 'refresh')
  const batches: { ids: string[] }[] = payloads.sort((a, b) => b.ids.length - a.ids.length)
  t.strictSame(
    batches.map(({ ids }) => ids.length),
    [4, 4, 3]
  )
  t.strictSame(sorted(batches.flatMap(({ ids }) => ids.flatMap((id) => parseRefKey(id) ?? []))), sorted(refs(11)))
  for (const batch of batches) t.strictSame(Object.keys(batch), ['ids'])
  t.strictSame((await stored(prefix, 'revoke')).payloads, [{ ids: ['acme/c1'] }])
  const tags = new Set(keys.map((key) => /^\{[^{}]+\}/.exec(key)?.[0]))
  t.strictSame([...tags].sort(), [`{${prefix}:q:refresh}`, `{${prefix}:q:revoke}`, `{${prefix}:q:sweep}`])
  t.equal(begun.length, 4, 'three of the batch and the revoke: no more at a time')
  release()
})

t.test('a connection that fails stops no other, and only a code of it is told and stored', async (t) => {
  const attended: ConnectionRef[] = []
  const { prefix, events } = open(t, {
    due: refs(5),
    settings: { batchConcurrency: 1 },
    attend: async (ref) => {
      attended.push(ref)
      if (ref.connection === 'c1') throw new BrokerError('ERR_STORE_UNAVAILABLE', 'hush')
      if (ref.connection === 'c2') throw Object.assign(new Error('hush hush'), { command: { args: ['hush'] } })
    }
  })
  await eventually(() => events.some(({ type }) => type === 'job.failed'))
  t.strictSame(sorted(attended), sorted(refs(5)))
  t.strictSame(
    events.find(({ type }) => type === 'job.failed'),
    { type: 'job.failed', queue: 'refresh', reason: 'ERR_STORE_UNAVAILABLE' }
  )
  const texts = await redisTexts(control, prefix)
  t.notOk(
    texts.find(([, text]) => text.includes('hush')),
    'no message'
  )
  t.notOk(
    texts.find(([, text]) => text.includes('.ts:')),
    'no stack'
  )
  t.strictSame((await stored(prefix, 'refresh')).payloads, [], 'the failed job is gone')
})

t.test('a sweep that fails is told as a code and the next one runs', async (t) => {
  let calls = 0
  const { events, sweeps } = open(t, {
    claim: async () => {
      if (++calls === 1) throw new BrokerError('ERR_STORE_UNAVAILABLE', 'hush')
      return []
    }
  })
  await eventually(() => sweeps() > 0)
  t.strictSame(
    events.filter((event) => !isSweep(event)),
    [{ type: 'job.failed', queue: 'sweep', reason: 'ERR_STORE_UNAVAILABLE' }]
  )
})

t.test('a payload that is not ours is left alone', async (t) => {
  const { prefix, attended, events } = open(t)
  const queue = new Queue('refresh', { connection: redis.client(), prefix: `{${prefix}:q:refresh}` })
  for (const data of [null, {}, { ids: 'acme/c1' }, { ids: [7, 'a', 'a/b/c', '../x', 'acme/c9'] }]) {
    await queue.add('refresh', data, { removeOnComplete: true, removeOnFail: true })
  }
  await eventually(() => attended.length > 0)
  t.strictSame(attended, [{ tenant: 'acme', connection: 'c9' }])
  t.notOk(events.find(({ type }) => type === 'job.failed'))
})

t.test('while enough waits, nothing more is claimed', async (t) => {
  const { run, release } = gate()
  const due = refs(200)
  const { sweeps, prefix } = open(t, {
    due,
    attend: run,
    settings: { batchSize: 10, backlogLimit: 50, refreshConcurrency: 1 }
  })
  await eventually(() => due.length <= 140)
  const before = sweeps()
  await eventually(() => sweeps() >= before + 3)
  t.equal(due.length, 140, 'five batches wait, one is at work')
  t.equal((await stored(prefix, 'refresh')).payloads.length, 6)
  release()
  await eventually(() => due.length === 0)
})

t.test('the claim of what a batch has not begun is renewed, of what it began not', async (t) => {
  const { run, begun, release } = gate()
  const renewed: [readonly ConnectionRef[], number][] = []
  open(t, {
    due: refs(5),
    attend: run,
    clock: { now: () => 1000 },
    renew: async (...args) => {
      renewed.push(args)
      throw new Error('the next one may do better')
    },
    settings: { batchConcurrency: 2, renewEveryMs: 20, visibilityMs: 500 }
  })
  await eventually(() => renewed.length >= 2)
  const [again, until] = renewed[1] ?? [[], 0]
  t.strictSame(sorted([...again, ...begun]), sorted(refs(5)))
  t.equal(begun.length, 2)
  t.equal(until, 1500)
  release()
})

t.test('the sweep starts again when the scheduler, its job or all keys are deleted', async (t) => {
  const { prefix, sweeps, due, attended } = open(t)
  const sweep = `{${prefix}:q:sweep}:sweep`
  for (const what of ['scheduler', 'job', 'all'] as const) {
    const before = sweeps()
    await eventually(() => sweeps() > before)
    if (what === 'scheduler') await control.del(`${sweep}:repeat`, `${sweep}:repeat:sweep`)
    if (what === 'job') await control.del(`${sweep}:delayed`, `${sweep}:wait`)
    if (what === 'all') await deleteQueues(prefix)
    due.push(...refs(1))
    const had = attended.length
    await eventually(() => attended.length > had)
  }
  t.pass('each time')
})

t.test('a sweep that was scheduled far ahead, by a wrong clock, is scheduled anew', async (t) => {
  const prefix = freshPrefix()
  const queue = new Queue('sweep', { connection: redis.client(), prefix: `{${prefix}:q:sweep}` })
  await queue.upsertJobScheduler('sweep', { every: 100, startDate: Date.now() + 3_600_000 }, { name: 'sweep' })
  const { sweeps } = open(t, { prefix })
  await eventually(() => sweeps() >= 2)
  t.equal(await queue.getJobSchedulersCount(), 1)
})

/** Another process, and everything that it printed. */
async function startProcess(t: Test, input: Omit<WorkerProcessInput, 'url' | 'settings'>) {
  const script = fileURLToPath(new URL('fixtures/worker-process.ts', import.meta.url))
  const whole: WorkerProcessInput = {
    ...input,
    url: redis.url,
    settings: { ...QUICK, ...IMPATIENT, batchConcurrency: 2 }
  }
  const child = spawn(process.execPath, [script, JSON.stringify(whole)], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  return {
    output: () => output,
    kill: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
}

t.test('two processes keep one scheduler with one next sweep', async (t) => {
  const { prefix, sweeps } = open(t)
  const other = await startProcess(t, { prefix, due: [] })
  await eventually(() => other.output().includes('sweep.ran') && sweeps() > 1, 15_000)
  const sweep = `{${prefix}:q:sweep}:sweep`
  for (let look = 0; look < 20; look++) {
    const before = sweeps()
    const counts = control.multi().zcard(`${sweep}:repeat`).zcard(`${sweep}:delayed`).llen(`${sweep}:wait`)
    const [schedulers, delayed, waiting] = ((await counts.exec()) ?? []).map(([, count]) => Number(count))
    t.equal(schedulers, 1)
    t.ok(Number(delayed) + Number(waiting) <= 1, `${delayed} delayed, ${waiting} waiting`)
    if (look % 5 === 0) await eventually(() => sweeps() > before)
  }
})

t.test('what a killed process had at work is attended to by another', async (t) => {
  const prefix = freshPrefix()
  const all = refs(6)
  const victim = await startProcess(t, { prefix, due: all.map(refKey) })
  await eventually(() => victim.output().split('attending').length > 2, 15_000)
  await victim.kill()
  // Not by its claim: the ports here know of no connection that is due.
  const { attended } = open(t, { prefix, settings: IMPATIENT })
  await eventually(() => attended.length >= all.length, 10_000)
  t.strictSame(sorted(attended), sorted(all))
})

t.test('close lets what runs finish and hands the rest to others', async (t) => {
  const { run, begun, release } = gate()
  const first = open(t, { due: refs(5), attend: run, settings: { batchConcurrency: 2 } })
  await eventually(() => begun.length === 2)
  const closed = first.jobs.close(5000)
  const second = open(t, { prefix: first.prefix })
  await eventually(() => second.sweeps() > 0)
  t.strictSame(second.attended, [], 'not before the first has ended')
  release()
  await closed
  await eventually(() => second.attended.length >= 3)
  t.strictSame(sorted([...begun, ...second.attended]), sorted(refs(5)), 'each once')
  t.equal(await control.llen(`{${first.prefix}:q:refresh}:refresh:active`), 0)
  const before = first.sweeps()
  await eventually(() => second.sweeps() > 3)
  t.equal(first.sweeps(), before, 'the first takes nothing more')
})

t.test('close ends at its deadline when the work does not; another attends to it', async (t) => {
  const { run, begun } = gate()
  const first = open(t, { due: refs(2), attend: run, settings: IMPATIENT })
  await eventually(() => begun.length === 2)
  await first.jobs.close(50)
  const second = open(t, { prefix: first.prefix, settings: IMPATIENT })
  await eventually(() => second.attended.length >= 2, 10_000)
  t.strictSame(sorted(second.attended), sorted(refs(2)))
})

t.test('a revoke is asked for by any role and worked on by workers at once', async (t) => {
  const api = open(t, { role: 'api', due: refs(1) })
  await eventually(async () => {
    await api.jobs.kickRevoke(refs(3))
    return (await stored(api.prefix, 'revoke')).payloads.length > 0
  })
  t.strictSame(api.revoked, [], 'an api process works on none')
  t.equal(api.due.length, 1, 'and sweeps none')
  // No sweep can bring it: the only way is the job.
  const worker = open(t, { prefix: api.prefix, settings: { sweepEveryMs: 3_600_000 } })
  await eventually(() => worker.revoked.length >= 3)
  await api.jobs.kickRevoke([{ tenant: 'acme', connection: 'late' }])
  await eventually(() => worker.revoked.some(({ connection }) => connection === 'late'))
  t.pass('also while the worker was idle')
})

t.test('close twice is close once, and nothing starts after it', async (t) => {
  const { jobs, sweeps } = open(t)
  await eventually(() => sweeps() > 0)
  const first = jobs.close(1000)
  t.equal(jobs.close(1000), first)
  await first
  const before = sweeps()
  jobs.start()
  await jobs.kickRevoke(refs(1))
  t.equal(sweeps(), before)
})

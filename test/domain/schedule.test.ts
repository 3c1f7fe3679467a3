import fc from 'fast-check'
import t from 'tap'
import type { Connection, Failure } from '../../src/domain/connection.ts'
import {
  backoffMs,
  dueAt,
  isUsable,
  lifeMs,
  marginMs,
  proactiveRefreshAt,
  refreshAt,
  timeLeftMs,
  waitForNextTryMs
} from '../../src/domain/schedule.ts'
import { connection } from '../helpers/connections.ts'
import { HOUR, MINUTE, SECOND } from './harness.ts'

const SENT = 1_800_000_000_000
const DAY = 24 * HOUR

/** An active connection whose token was asked for at `SENT` and lives `life` ms. */
function issued(life: number, changes: Partial<Connection> = {}, connectionId = 'desk'): Connection {
  const base = connection({ tenant: 'acme', connection: connectionId })
  return {
    ...base,
    access: { sealed: Buffer.from('x'), expiresAt: SENT + life },
    details: { ...base.details, times: { created: SENT, statusSince: SENT, accessIssued: SENT } },
    ...changes
  }
}

function failing(nextTryAt: number): Failure {
  return { code: 'upstream_unavailable', count: 1, since: SENT, at: SENT, nextTryAt }
}

function withoutToken(changes: Partial<Connection> = {}): Connection {
  const { access: _access, ...rest } = issued(HOUR, changes)
  return rest
}

const lives = fc.integer({ min: 1 * SECOND, max: HOUR })
const wishes = fc.option(fc.integer({ min: 0, max: 30 * MINUTE }), { nil: undefined })

t.test('without a wish a token is usable until 300 s before its end, or a quarter of a short life', (t) => {
  for (const [life, margin] of [
    [HOUR, 300 * SECOND],
    [20 * MINUTE, 300 * SECOND],
    [20 * MINUTE - 4, 300 * SECOND - 1],
    [8 * SECOND, 2 * SECOND]
  ] as const) {
    const token = issued(life)
    t.equal(marginMs(token, undefined), margin)
    t.ok(isUsable(token, undefined, SENT + life - margin - 1))
    t.notOk(isUsable(token, undefined, SENT + life - margin), 'exactly the margin is too little')
    t.equal(refreshAt(token), SENT + life - margin, 'and that is when a fresh one may be had')
  }
  t.end()
})

t.test('with a wish it is usable as long as it lives longer than the wish, or half of its life', (t) => {
  for (const [life, wish, margin] of [
    [HOUR, 10 * MINUTE, 10 * MINUTE],
    [HOUR, 30 * MINUTE, 30 * MINUTE],
    [HOUR, 31 * MINUTE, 30 * MINUTE],
    [10 * SECOND, 30 * MINUTE, 5 * SECOND],
    [HOUR, 0, 0]
  ] as const) {
    const token = issued(life)
    t.equal(marginMs(token, wish), margin)
    t.ok(isUsable(token, wish, SENT + life - margin - 1))
    t.notOk(isUsable(token, wish, SENT + life - margin))
  }
  t.end()
})

t.test('a token that is over, or not there, is usable for no wish', (t) => {
  t.notOk(isUsable(issued(HOUR), 0, SENT + HOUR))
  t.notOk(isUsable(issued(HOUR), 0, SENT + 2 * HOUR))
  t.equal(timeLeftMs(issued(HOUR), SENT + 2 * HOUR), 0, 'never negative')
  t.notOk(isUsable(withoutToken(), 0, SENT))
  t.equal(timeLeftMs(withoutToken(), SENT), 0)
  t.equal(lifeMs(withoutToken()), 0)
  t.end()
})

t.test('no wish makes a token younger than a quarter of its life old', (t) => {
  fc.assert(
    fc.property(lives, wishes, fc.double({ min: 0, max: 0.25, maxExcluded: true, noNaN: true }), (life, wish, age) =>
      isUsable(issued(life), wish, SENT + life * age)
    )
  )
  t.end()
})

t.test('a usable token becomes unusable once and stays so, and a greater wish never makes one usable', (t) => {
  const ages = fc.integer({ min: 0, max: 2 * HOUR })
  fc.assert(
    fc.property(lives, wishes, ages, ages, (life, wish, a, b) => {
      const [early, late] = [Math.min(a, b), Math.max(a, b)]
      const token = issued(life)
      return isUsable(token, wish, SENT + early) || !isUsable(token, wish, SENT + late)
    })
  )
  fc.assert(
    fc.property(lives, fc.nat(HOUR), fc.nat(HOUR), ages, (life, a, b, age) => {
      const token = issued(life)
      return isUsable(token, Math.min(a, b), SENT + age) || !isUsable(token, Math.max(a, b), SENT + age)
    })
  )
  t.end()
})

t.test('a proactive refresh is due at 65 to 80 % of any life, the same in every process', (t) => {
  const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,40}$/)
  fc.assert(
    fc.property(lives, id, fc.nat(2 ** 40), (life, connectionId, generation) => {
      const token = issued(life, { generation }, connectionId)
      const share = (proactiveRefreshAt(token) - SENT) / life
      const again = proactiveRefreshAt(issued(life, { generation }, connectionId))
      return share >= 0.65 - 0.5 / life && share <= 0.8 + 0.5 / life && again === proactiveRefreshAt(token)
    })
  )
  t.end()
})

t.test(
  'the proactive refreshes of many connections spread evenly, also when they were connected in one second',
  (t) => {
    const slices = 15
    const counts = (tokens: Connection[]) => {
      const found = new Array(slices).fill(0)
      for (const token of tokens) {
        const share = (proactiveRefreshAt(token) - SENT) / HOUR
        found[Math.min(slices - 1, Math.floor(((share - 0.65) / 0.15) * slices))]++
      }
      return found
    }
    const many = 15_000
    const neighbours = counts(Array.from({ length: many }, (_, i) => issued(HOUR, {}, `desk-${i}`)))
    const generations = counts(Array.from({ length: many }, (_, i) => issued(HOUR, { generation: 1_800_000_000 + i })))
    for (const found of [neighbours, generations]) {
      // 1000 in each on average; 5 standard deviations are 155.
      t.ok(
        found.every((n) => n > 800 && n < 1200),
        `no heap and no gap: ${found.join(' ')}`
      )
    }
    t.end()
  }
)

t.test('an active connection is due for its refresh, not before its back-off ends', (t) => {
  const token = issued(HOUR)
  const { details } = token
  const at = proactiveRefreshAt(token)
  t.equal(dueAt(token, SENT), at)
  t.equal(dueAt({ ...token, details: { ...details, failure: failing(at - 1) } }, SENT), at)
  t.equal(dueAt({ ...token, details: { ...details, failure: failing(at + 1) } }, SENT), at + 1)
  t.equal(dueAt(withoutToken(), SENT + 7), SENT + 7, 'one without a token at once')
  t.end()
})

t.test('what else is due: a revoke at once, a tombstone after 90 days, a pending one after 7, the rest never', (t) => {
  const token = issued(HOUR)
  t.equal(dueAt({ ...token, quarantined: true }, SENT), undefined, 'a quarantined one is not refreshed')
  t.equal(dueAt({ ...token, status: 'reconnect_required' }, SENT), undefined, 'a dead grant retries nothing by itself')
  t.equal(dueAt({ ...token, status: 'disconnecting' }, SENT + 5), undefined, 'its grants have due times of their own')
  t.equal(dueAt({ ...token, status: 'disconnected' }, SENT), SENT + 90 * DAY)
  t.equal(dueAt(withoutToken({ status: 'pending' }), SENT), SENT + 7 * DAY)
  t.end()
})

t.test('back-off grows fourfold to its cap, within 20 % of it', (t) => {
  const settings = { backoffFirstMs: 5000, backoffMaxMs: 300_000 }
  t.strictSame(
    [1, 2, 3, 4, 5].map((count) => backoffMs(count, settings, 0.5)),
    [5000, 20_000, 80_000, 300_000, 300_000]
  )
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), random, (count, jitter) => {
      const wait = backoffMs(count, settings, jitter)
      return Number.isSafeInteger(wait) && wait >= 4000 && wait <= 300_000
    })
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), random, (count, jitter) => {
      return backoffMs(count + 1, settings, jitter) >= backoffMs(count, settings, jitter)
    })
  )
  t.end()
})

t.test('a caller waits until the next try, and never a negative time', (t) => {
  t.equal(waitForNextTryMs(undefined, SENT), 0)
  t.equal(waitForNextTryMs(failing(SENT + 5), SENT), 5)
  t.equal(waitForNextTryMs(failing(SENT - 5), SENT), 0)
  t.end()
})

import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { refreshed, refreshFailed, stillApplies } from '../../src/domain/change.ts'
import { type Connection, STATUSES } from '../../src/domain/connection.ts'
import { grantStored, type StoreOptions, type VerifiedGrant } from '../../src/domain/grant-change.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createKeyring } from '../../src/sealing/keyring.ts'
import { connection, waitingGrant, writeId } from '../helpers/connections.ts'
import {
  BAD_SECRET,
  granted,
  HOUR,
  MINUTE,
  type NotGranted,
  OURS,
  REFUSED,
  SCOPES,
  SECOND,
  SETTINGS,
  THROTTLED,
  TIMEOUT,
  UNSENT
} from './harness.ts'

const NOW = 1_800_000_000_000
const REF = { tenant: 'acme', connection: 'desk' }
const sealer = createKeyring({ keys: [{ id: 'k1', key: randomBytes(32) }], prefix: 'ztb' })

const stamp = (now = NOW, sentAt = now - 200) => ({ now, sentAt, writeId: writeId(), actor: 'ops' })

function active(changes: Partial<Connection> = {}): Connection {
  const base = connection(REF)
  return {
    ...base,
    revision: 5,
    sealedRefresh: sealer.seal(new Secret('old refresh'), {
      purpose: 'refresh',
      ref: REF,
      dataCenter: 'eu',
      grantNumber: 1
    }),
    access: { sealed: Buffer.from('sealed'), expiresAt: NOW + 10 * MINUTE },
    ...changes
  }
}

/** Another grant is imported at `now`; the request that verified it left at `sentAt`. */
function imported(
  current: Connection | undefined,
  { now = NOW, sentAt = now - 200, ...options }: { now?: number; sentAt?: number } & Partial<StoreOptions> = {}
) {
  const grant: VerifiedGrant = {
    ref: REF,
    app: 'desk',
    dataCenter: 'us',
    clientId: '1000.ABC',
    scopes: { requested: SCOPES, granted: SCOPES },
    refreshToken: new Secret('new refresh'),
    access: { token: new Secret('new access'), issuedAt: sentAt, expiresAt: sentAt + HOUR }
  }
  return grantStored(current, grant, { how: 'imported', waiting: [], ...options }, sealer, stamp(now))
}

function openAccess({ access, details, generation }: Connection): string {
  if (!access) throw new Error('there is no access token')
  const { dataCenter, grantNumber } = details
  const { sealed, expiresAt } = access
  return sealer.open(sealed, { purpose: 'access', ref: REF, dataCenter, grantNumber, generation, expiresAt }).reveal()
}

function openRefresh({ sealedRefresh, details: { dataCenter, grantNumber } }: Connection): string {
  return sealer.open(sealedRefresh as Uint8Array, { purpose: 'refresh', ref: REF, dataCenter, grantNumber }).reveal()
}

t.test('a stored grant', async (t) => {
  t.test('makes an absent connection active, numbered from 1, its life counted from when the request left', (t) => {
    const { next, grants, events } = imported(undefined, { sentAt: NOW - 3 * SECOND })
    t.match(next, {
      revision: 1,
      epoch: NOW,
      generation: NOW / 1000,
      status: 'active',
      quarantined: false,
      purge: false,
      access: { expiresAt: NOW - 3 * SECOND + HOUR },
      details: {
        app: 'desk',
        dataCenter: 'us',
        clientId: '1000.ABC',
        grantNumber: 1,
        scopes: { requested: SCOPES, granted: SCOPES },
        times: { created: NOW, statusSince: NOW, connected: NOW, accessIssued: NOW - 3 * SECOND }
      }
    })
    t.equal(openAccess(next), 'new access')
    t.equal(openRefresh(next), 'new refresh')
    t.strictSame(grants, [])
    t.strictSame(
      events.map(({ type, at, actor }) => ({ type, at, actor })),
      [{ type: 'connection.imported', at: NOW, actor: 'ops' }]
    )
    t.end()
  })

  t.test('puts the live grant before it aside until its last access token is over', (t) => {
    for (const status of ['active', 'reconnect_required'] as const) {
      const old = active({ status })
      const { next, grants, events } = imported(old)
      t.equal(next.details.grantNumber, 2)
      t.equal(grants.length, 1)
      t.match(grants[0], {
        number: 1,
        entry: {
          kind: 'superseded',
          due: NOW + 10 * MINUTE,
          tries: 0,
          app: 'desk',
          dataCenter: 'eu',
          clientId: '1000.ABC'
        }
      })
      t.equal(grants[0]?.entry?.sealedRefresh, old.sealedRefresh, 'its sealed bytes as they were')
      t.strictSame(
        events.map(({ type }) => type),
        ['connection.imported', 'grant.superseded']
      )
    }
    t.end()
  })

  t.test('lets a grant whose access token is over wait for nothing', (t) => {
    const { grants } = imported(active(), { now: NOW + HOUR })
    t.equal(grants[0]?.entry?.due, NOW + HOUR)
    t.end()
  })

  t.test('puts nothing aside where no grant was live', (t) => {
    const { sealedRefresh: _refresh, access: _access, ...pending } = active({ status: 'pending' })
    t.strictSame(imported(pending).grants, [])
    for (const status of ['disconnecting', 'disconnected'] as const) {
      const { next, grants } = imported(active({ status, purge: true }))
      t.strictSame(grants, [], `${status}: what waits for its revoke goes on as it is`)
      t.match(next, { status: 'active', purge: false, details: { times: { statusSince: NOW } } })
    }
    t.end()
  })

  t.test('forgets failure data and the Zoho user, and keeps what it does not know', (t) => {
    const base = active({ status: 'reconnect_required', quarantined: true })
    const failure = refreshFailed(base, REFUSED, SETTINGS, { ...stamp(), random: 0 }).next.details.failure
    const details = { ...base.details, ...(failure && { failure }), zohoUser: '1', zohoOrg: '2', fromTheFuture: 3 }
    const { next } = imported({ ...base, details })
    t.notOk('failure' in next.details || 'zohoUser' in next.details || 'zohoOrg' in next.details)
    t.match(next, { quarantined: true, details: { fromTheFuture: 3, times: { created: base.details.times.created } } })
    t.equal(next.details.times.statusSince, NOW)
    t.end()
  })

  t.test('keeps the time since which an active connection is active', (t) => {
    const old = active()
    const { next } = imported(old)
    t.equal(next.details.times.statusSince, old.details.times.statusSince)
    t.end()
  })

  t.test('hurries the revoke of a grant that waits already, and drops entries that hold its own token', (t) => {
    const waiting = [waitingGrant(1), waitingGrant(3, { due: NOW - 5 }), waitingGrant(4)]
    const { next, grants } = imported(active({ details: { ...active().details, grantNumber: 2 } }), {
      waiting,
      freed: [4]
    })
    t.equal(next.details.grantNumber, 5, 'no number is given twice')
    t.strictSame(grants.map(({ number, entry }) => [number, entry?.due]).sort(), [
      [1, NOW],
      [2, NOW + 10 * MINUTE],
      [4, undefined]
    ])
    t.end()
  })
})

t.test('epoch and generation', async (t) => {
  const stored = fc.record({
    epoch: fc.integer({ min: 0, max: 2 * NOW }),
    generation: fc.integer({ min: 0, max: (2 * NOW) / 1000 }),
    status: fc.constantFrom(...STATUSES)
  })

  t.test('a stored grant raises both, whatever the clock says', (t) => {
    fc.assert(
      fc.property(stored, fc.integer({ min: 1, max: 2 * NOW }), (changes, now) => {
        const { next } = imported(active(changes), { now })
        return (
          next.epoch === Math.max(changes.epoch + 1, now) &&
          next.generation === Math.max(changes.generation + 1, Math.floor(now / 1000)) &&
          next.revision === 6
        )
      })
    )
    t.end()
  })

  t.test('a refresh raises the generation and never the epoch', (t) => {
    fc.assert(
      fc.property(stored, fc.integer({ min: 1, max: 2 * NOW }), (changes, now) => {
        const { next } = refreshed(active(changes), granted('a'), sealer, stamp(now))
        return next.epoch === changes.epoch && next.generation > changes.generation && next.revision === 6
      })
    )
    t.end()
  })

  t.test('a failure touches neither', (t) => {
    for (const reply of [REFUSED, OURS, THROTTLED, TIMEOUT, UNSENT]) {
      const before = active()
      const { next } = refreshFailed(before, reply, SETTINGS, { ...stamp(), random: 0 })
      t.match(next, { epoch: before.epoch, generation: before.generation, revision: 6 })
      t.equal(next.access, before.access, 'nor the token that lives')
    }
    t.end()
  })

  t.test('an answer applies to the same epoch and generation in a live status, and to nothing else', (t) => {
    const seen = active()
    t.ok(stillApplies(seen, { ...seen, revision: 9, writeId: writeId(), quarantined: true }))
    t.ok(stillApplies(seen, { ...seen, status: 'reconnect_required' }))
    t.notOk(stillApplies(seen, { ...seen, epoch: seen.epoch + 1 }))
    t.notOk(stillApplies(seen, { ...seen, generation: seen.generation + 1 }))
    for (const status of ['pending', 'disconnecting', 'disconnected'] as const) {
      t.notOk(stillApplies(seen, { ...seen, status }), status)
    }
    t.notOk(stillApplies(seen, undefined))
    t.end()
  })
})

t.test('a refresh', async (t) => {
  t.test('keeps the very bytes of the stored refresh token where the answer brings none', (t) => {
    const before = active()
    const { next, grants, events } = refreshed(before, granted('fresh'), sealer, stamp(NOW, NOW - 500))
    t.equal(next.sealedRefresh, before.sealedRefresh)
    t.equal(openAccess(next), 'fresh')
    t.match(next, { access: { expiresAt: NOW - 500 + HOUR }, details: { times: { accessIssued: NOW - 500 } } })
    t.strictSame({ grants, events }, { grants: [], events: [] })
    t.end()
  })

  t.test('replaces it in the same write where the answer brings one', (t) => {
    const { next } = refreshed(active(), granted('a', { refreshToken: new Secret('rotated') }), sealer, stamp())
    t.equal(openRefresh(next), 'rotated')
    t.equal(next.details.grantNumber, 1)
    t.end()
  })

  t.test('binds the access token to its generation and end', (t) => {
    const { next } = refreshed(active(), granted('a'), sealer, stamp())
    t.throws(() => openAccess({ ...next, generation: next.generation + 1 }), { code: 'ERR_SEALED_UNREADABLE' })
    t.throws(() => openAccess({ ...next, ...(next.access && { access: { ...next.access, expiresAt: 1 } }) }), {
      code: 'ERR_SEALED_UNREADABLE'
    })
    t.end()
  })

  t.test('brings a connection back that needed a reconnect, and says so', (t) => {
    const failed = refreshFailed(active(), REFUSED, SETTINGS, { ...stamp(), random: 0 }).next
    const { next, events } = refreshed({ ...failed, status: 'reconnect_required' }, granted('a'), sealer, stamp())
    t.equal(next.status, 'active')
    t.notOk('failure' in next.details)
    t.equal(next.details.times.statusSince, NOW)
    t.strictSame(events, [{ type: 'connection.recovered', at: NOW, actor: 'ops', data: {} }])
    t.end()
  })
})

t.test('a failed refresh', async (t) => {
  /** Failures in a row, each `wait` ms after the one before it. */
  function fail(steps: readonly (readonly [wait: number, reply: NotGranted])[], from = active()) {
    let now = NOW
    return steps.map(([wait, reply]) => {
      now += wait
      const change = refreshFailed(from, reply, SETTINGS, { ...stamp(now), random: 0.5 })
      from = change.next
      return { ...change, now, status: change.next.status, failure: change.next.details.failure }
    })
  }

  t.test('is data: its code, how many in a row, since when, when again', (t) => {
    const codes = [REFUSED, OURS, THROTTLED, TIMEOUT].map((reply) => fail([[0, reply]])[0]?.failure?.code)
    t.strictSame(codes, ['grant_refused', 'wrong_data_center', 'throttled', 'upstream_unavailable'])
    t.equal(fail([[0, BAD_SECRET]])[0]?.failure?.code, 'client_refused')
    const [first, second] = fail([
      [0, TIMEOUT],
      [7000, TIMEOUT]
    ])
    t.strictSame(first?.failure, {
      code: 'upstream_unavailable',
      count: 1,
      since: NOW,
      at: NOW,
      nextTryAt: NOW + 5 * SECOND
    })
    t.match(second?.failure, { count: 2, since: NOW, at: NOW + 7000, nextTryAt: NOW + 27 * SECOND })
    t.end()
  })

  t.test('touches no status by one strike, nor by more within the minute', (t) => {
    const [first, soon, late] = fail([
      [0, REFUSED],
      [1, REFUSED],
      [MINUTE - 2, REFUSED]
    ])
    t.equal(first?.failure?.nextTryAt, NOW + MINUTE, 'nobody asks again before a second strike could count')
    t.equal(soon?.failure?.nextTryAt, NOW + MINUTE)
    t.strictSame([first?.status, soon?.status, late?.status], ['active', 'active', 'active'])
    t.strictSame([first?.events, late?.events], [[], []])
    t.end()
  })

  t.test('needs a reconnect after a second strike a minute later', (t) => {
    const [, second] = fail([
      [0, REFUSED],
      [MINUTE, REFUSED]
    ])
    t.equal(second?.status, 'reconnect_required')
    t.equal(second?.next.details.times.statusSince, NOW + MINUTE)
    t.match(second?.events, [{ type: 'connection.reconnect_required', data: { reason: 'invalid_code' } }])
    t.ok(second?.next.sealedRefresh, 'the grant is kept')
    t.end()
  })

  t.test('remembers the first strike through other failures, and a success clears it', (t) => {
    const steps = fail([
      [0, REFUSED],
      [MINUTE, TIMEOUT],
      [MINUTE, OURS],
      [MINUTE, THROTTLED],
      [15 * MINUTE, REFUSED]
    ])
    t.strictSame(
      steps.map(({ status }) => status),
      ['active', 'active', 'active', 'active', 'reconnect_required']
    )
    const [strike] = fail([[0, REFUSED]])
    if (!strike) return t.fail('no strike')
    const cleared = refreshed(strike.next, granted('a'), sealer, stamp()).next
    t.equal(fail([[HOUR, REFUSED]], cleared)[0]?.status, 'active', 'the next strike is a first one')
    return t.end()
  })

  t.test('that is ours, throttled or transient never costs the status, however often', (t) => {
    for (const reply of [OURS, THROTTLED, TIMEOUT, UNSENT]) {
      const steps = fail(Array.from({ length: 20 }, () => [HOUR, reply] as const))
      t.ok(steps.every(({ status }) => status === 'active'))
    }
    t.end()
  })

  t.test('by a throttle closes the budget for the window, and nothing else does', (t) => {
    const [throttled] = fail([[0, THROTTLED]])
    t.equal(throttled?.closeBudgetUntil, NOW + 10 * MINUTE)
    t.equal(throttled?.failure?.nextTryAt, NOW + 10 * MINUTE)
    for (const reply of [REFUSED, OURS, TIMEOUT]) t.notOk('closeBudgetUntil' in (fail([[0, reply]])[0] ?? {}))
    t.end()
  })

  t.test('leaves a connection that needs a reconnect as it is, without another event', (t) => {
    const steps = fail(
      [
        [0, REFUSED],
        [HOUR, REFUSED],
        [HOUR, TIMEOUT]
      ],
      active({ status: 'reconnect_required' })
    )
    t.ok(steps.every(({ status, events }) => status === 'reconnect_required' && events.length === 0))
    t.end()
  })

  t.test('always sets a next try after now', (t) => {
    const replies = fc.constantFrom(REFUSED, OURS, THROTTLED, TIMEOUT, UNSENT)
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: HOUR }), replies), { minLength: 1, maxLength: 12 })
    fc.assert(fc.property(steps, (all) => fail(all).every(({ failure, now }) => (failure?.nextTryAt ?? 0) > now)))
    t.end()
  })
})

import fc from 'fast-check'
import t from 'tap'
import {
  type ConnectionEvent,
  decide,
  EVENTS,
  type Outcome,
  STATUSES,
  type Status
} from '../../src/domain/connection.ts'
import { exchangesCutShort } from '../../src/domain/end-change.ts'
import { isId, parseRefKey, refKey } from '../../src/domain/ids.ts'
import { ACTIONS, type Consumer, judge, mayEverywhere, type Rule, seekAllowed } from '../../src/domain/policy.ts'
import { createShield } from '../../src/domain/shield.ts'
import { createSingleFlight } from '../../src/domain/single-flight.ts'
import { connectFlow, connection } from '../helpers/connections.ts'
import { consumer } from './harness.ts'

const ids = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,6}$/)
const shortIds = fc.stringMatching(/^[ab][ab-]{0,4}$/)
const patterns = fc.oneof(
  shortIds,
  shortIds.map((start) => `${start}*`),
  fc.constant('*')
)
const rules: fc.Arbitrary<Rule> = fc.record({
  actions: fc.subarray([...ACTIONS]),
  tenants: fc.array(patterns, { maxLength: 3 }),
  connections: fc.array(patterns, { maxLength: 4 })
})
const consumers: fc.Arbitrary<Consumer> = fc.record({
  name: fc.constant('any'),
  allow: fc.array(rules, { maxLength: 3 })
})

t.test('policy', async (t) => {
  const acme = { tenant: 'acme', connection: 'desk' }

  t.test('a consumer without a rule sees nothing', (t) => {
    for (const action of ACTIONS) t.equal(judge({ name: 'nobody', allow: [] }, action, acme), 'hidden')
    t.end()
  })

  t.test('a rule allows its actions; where it covers, other actions are forbidden, elsewhere all is hidden', (t) => {
    const service = consumer(['token'], { tenants: ['acme'], connections: ['desk'] })
    t.equal(judge(service, 'token', acme), 'allowed')
    t.equal(judge(service, 'read', acme), 'forbidden')
    t.equal(judge(service, 'token', { ...acme, tenant: 'globex' }), 'hidden')
    t.equal(judge(service, 'token', { ...acme, connection: 'crm' }), 'hidden')
    t.end()
  })

  t.test('tenant and connection must come from one rule', (t) => {
    const split: Consumer = {
      name: 'split',
      allow: [
        { actions: ['token'], tenants: ['acme'], connections: ['crm'] },
        { actions: ['token'], tenants: ['globex'], connections: ['desk'] }
      ]
    }
    t.equal(judge(split, 'token', acme), 'hidden')
    t.end()
  })

  t.test('a pattern is a literal, everything, or a prefix', (t) => {
    const sees = (pattern: string, id: string) =>
      judge(consumer(['read'], { connections: [pattern] }), 'read', { ...acme, connection: id }) === 'allowed'
    t.ok(sees('desk', 'desk'))
    t.notOk(sees('desk', 'desk2'))
    t.notOk(sees('desk', 'Desk'), 'ids tell upper from lower case')
    t.ok(sees('desk*', 'desk'))
    t.ok(sees('desk*', 'desk-eu'))
    t.notOk(sees('desk*', 'des'))
    t.ok(sees('*', 'anything'))
    t.notOk(sees('d.sk', 'desk'), 'no pattern is a regular expression')
    t.notOk(sees('*sk', 'desk'), 'a star counts only at the end')
    t.end()
  })

  t.test('app-wide routes need one rule on every tenant and connection', (t) => {
    t.ok(mayEverywhere(consumer(['read']), 'read'))
    t.notOk(mayEverywhere(consumer(['read']), 'refresh'))
    t.notOk(mayEverywhere(consumer(['read'], { tenants: ['a*'] }), 'read'))
    t.notOk(mayEverywhere(consumer(['read'], { connections: ['a*'] }), 'read'))
    t.end()
  })

  t.test('a verdict is allowed or forbidden only where a rule covers, whatever the policy', (t) => {
    fc.assert(
      fc.property(consumers, fc.constantFrom(...ACTIONS), shortIds, shortIds, (who, action, tenant, id) => {
        const matches = (pattern: string, value: string) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(value)
        const covering = who.allow.filter(
          (rule) => rule.tenants.some((p) => matches(p, tenant)) && rule.connections.some((p) => matches(p, id))
        )
        const allowed = covering.some((rule) => rule.actions.includes(action))
        const expected = allowed ? 'allowed' : covering.length > 0 ? 'forbidden' : 'hidden'
        return judge(who, action, { tenant, connection: id }) === expected
      })
    )
    t.end()
  })

  t.test('seeking skips no allowed connection, only goes ahead, and tells no hidden id', (t) => {
    fc.assert(
      fc.property(consumers, shortIds, fc.array(shortIds), fc.option(shortIds), (who, tenant, others, start) => {
        const after = start ?? ''
        const allowed = (id: string) => judge(who, 'read', { tenant, connection: id }) === 'allowed'
        const at = seekAllowed(who, 'read', tenant, after)
        const ahead = others.filter((id) => id > after && allowed(id))
        if (at === undefined) return ahead.length === 0
        const tells = at !== after && isId(at) && !allowed(at) && others.includes(at)
        // Asked again with its own answer it stays where it is: that is what a cursor does.
        return at >= after && ahead.every((id) => id > at) && !tells && seekAllowed(who, 'read', tenant, at) === at
      }),
      { numRuns: 2000 }
    )
    t.end()
  })

  t.test('a position behind a hidden id is made of the policy alone', (t) => {
    const who = consumer(['read'], { connections: ['desk*', 'crm'] })
    const at = seekAllowed(who, 'read', 'acme', 'customer-secret-project')
    t.equal(at, seekAllowed(who, 'read', 'acme', 'crm'))
    t.ok(at !== undefined && at < 'desk' && at > `desj${'~'.repeat(124)}`)
    t.equal(seekAllowed(who, 'read', 'acme', 'zulu'), undefined)
    t.equal(seekAllowed(who, 'token', 'acme', ''), undefined, 'only rules with the action count')
    t.end()
  })
})

t.test('the status table', async (t) => {
  const columns = ['absent', ...STATUSES] as const
  const to = (status: Status | 'same', ...effects: string[]) => ({ to: status, effects })
  const no = (refuse: string) => ({ refuse })
  const found = no('ERR_CONNECTION_NOT_FOUND')
  const open = no('ERR_NOT_CONNECTED')
  const gone = no('ERR_DISCONNECTED')
  const drop = { drop: true }
  const link = to('same', 'create_link')
  const once = to('same', 'refresh_once')
  const flag = to('same', 'set_quarantine_flag')
  const replace = to('active', 'store_grant', 'supersede_old_grant')
  const again = to('active', 'store_grant', 'keep_waiting_revokes')
  const end = to('disconnecting', 'end_links_flows_candidates', 'revoke_current_grant')
  const answer = to('active', 'store_access_or_fate')
  const dead = no('ERR_RECONNECT_REQUIRED')
  // absent, pending, active, reconnect_required, disconnecting, disconnected
  const expected: Record<ConnectionEvent, readonly unknown[]> = {
    issue: [found, open, to('same', 'refresh_if_needed', 'serve'), dead, gone, gone],
    forced_refresh: [found, open, once, once, gone, gone],
    link: [to('pending', 'create_link'), link, link, link, link, link],
    grant_stored: [to('active', 'store_grant'), to('active', 'store_grant'), replace, replace, again, again],
    quarantine: [found, open, flag, flag, gone, gone],
    disconnect: [found, to('disconnected', 'end_links_flows_candidates'), end, end, to('same'), to('same')],
    refresh_answered: [drop, drop, answer, answer, drop, drop]
  }
  for (const event of EVENTS) {
    t.test(event, (t) => {
      columns.forEach((column, i) => {
        const record =
          column === 'absent' ? undefined : connection({ tenant: 'acme', connection: 'desk' }, { status: column })
        t.strictSame(decide(event, record), expected[event][i] as Outcome, `${event} in ${column}`)
      })
      t.end()
    })
  }

  t.test('quarantine and purge are no statuses: they change no outcome', (t) => {
    for (const event of EVENTS) {
      for (const status of STATUSES) {
        const plain = connection({ tenant: 'acme', connection: 'desk' }, { status })
        t.equal(decide(event, { ...plain, quarantined: true, purge: true }), decide(event, plain))
      }
    }
    t.end()
  })
})

t.test('ids', async (t) => {
  t.test('a connection has one text form, and only two ids have it', (t) => {
    fc.assert(
      fc.property(ids, ids, (tenant, id) => {
        const parsed = parseRefKey(refKey({ tenant, connection: id }))
        return parsed?.tenant === tenant && parsed.connection === id
      })
    )
    for (const text of ['', 'a', 'a/', '/b', 'a/b/c', 'a/..', '../b', 'a/b ', 'a\n/b', '__proto__/x']) {
      t.equal(parseRefKey(text), undefined, JSON.stringify(text))
    }
    t.end()
  })

  t.test('an id has 1 to 128 characters of a closed set and starts with a letter or digit', (t) => {
    for (const good of ['a', '7', 'A.b_c~d-e', 'x'.repeat(128)]) t.ok(isId(good))
    for (const bad of ['', '.', '..', '-a', '_a', 'a/b', 'a b', 'ä', 'a\n', 'x'.repeat(129)]) t.notOk(isId(bad))
    t.end()
  })
})

t.test('single-flight', async (t) => {
  t.test('callers with one key share a run, also its failure; the next one runs anew', async (t) => {
    const flight = createSingleFlight<number>()
    const { promise, resolve } = Promise.withResolvers<number>()
    let runs = 0
    const run = () => {
      runs++
      return promise
    }
    const all = [flight('a', run), flight('a', run), flight('b', run)]
    t.equal(flight.size(), 2)
    resolve(7)
    t.strictSame(await Promise.all(all), [7, 7, 7])
    t.equal(runs, 2)
    t.equal(flight.size(), 0, 'nothing is kept')

    const failing = async () => {
      throw new Error('no')
    }
    const failures = await Promise.allSettled([flight('a', failing), flight('a', failing)])
    t.ok(failures.every(({ status }) => status === 'rejected'))
    t.equal(await flight('a', async () => 8), 8, 'a failure is not remembered')
  })
})

t.test('shield', async (t) => {
  t.test('idle waits for all work, also what was begun meanwhile and what fails', async (t) => {
    const shield = createShield()
    await shield.idle()
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const failing = shield.run(async () => {
      await first.promise
      shield.run(() => second.promise)
      throw new Error('no')
    })
    let idle = false
    const waiting = shield.idle().then(() => {
      idle = true
    })
    first.resolve()
    await t.rejects(failing, { message: 'no' })
    await new Promise(setImmediate)
    t.equal(shield.size(), 1)
    t.notOk(idle)
    second.resolve()
    await waiting
    t.equal(shield.size(), 0)
  })
})

t.test('a disconnect names the grants that an exchange under way may bring, and no others', async (t) => {
  const flows = (['open', 'exchanging', 'awaiting_confirmation', 'done', 'failed'] as const).map((status) =>
    connectFlow('l', { status })
  )
  const events = exchangesCutShort(flows, { now: 5, writeId: '', actor: 'ops' })
  t.match(events, [{ type: 'connect_flow.failed', actor: 'ops', data: { flow: flows[1]?.id, possible_orphan: true } }])
  t.equal(events.length, 1)
})

import type { Test } from 'tap'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { AuditEvent, BeginInput, Clock, ConnectionStore } from '../../src/domain/ports.ts'
import { connection, eventually, freshRef, successor, waitingGrant } from '../helpers/connections.ts'

/** A store and a look behind its port. */
export interface StoreUnderTest {
  readonly store: ConnectionStore
  readonly clock: Clock
  /** All events written with the connection, in order. */
  events(ref: ConnectionRef): Promise<readonly AuditEvent[]>
  dueAt(ref: ConnectionRef): Promise<number | undefined>
}

const WINDOW_MS = 600_000

const numbers = (grants: readonly { number: number }[]) => grants.map(({ number }) => number)

const happened = (type: string): AuditEvent => ({ type, at: 1, actor: 'ops', data: { generation: 7 } })

/** What every `ConnectionStore` promises; run on the real one and on its twin. */
export async function connectionStoreContract(t: Test, make: (t: Test) => Promise<StoreUnderTest>): Promise<void> {
  const under = await make(t)
  const { store } = under

  /** A stored connection to work on. */
  async function stored(ref = freshRef()) {
    const first = connection(ref)
    await store.commit({ seen: undefined, next: first, dueAt: undefined })
    return first
  }

  function asks(ref: ConnectionRef, more: Partial<BeginInput> = {}): BeginInput {
    return {
      ref,
      seen: undefined,
      owner: 'owner-1',
      ttlMs: 15_000,
      share: 'anyone',
      limit: 3,
      windowMs: WINDOW_MS,
      now: under.clock.now(),
      ...more
    }
  }

  await t.test('records', (t) => recordContract(t))
  await t.test('lease', (t) => leaseContract(t))
  await t.test('budget', (t) => budgetContract(t))
  await t.test('list', (t) => listContract(t))

  async function recordContract(t: Test) {
    t.test('what was committed is read back, whole', async (t) => {
      const ref = freshRef()
      t.equal(await store.read(ref), undefined)
      const first = connection(ref, { quarantined: true })
      t.strictSame(await store.commit({ seen: undefined, next: first, dueAt: 42 }), { kind: 'written' })
      t.match(await store.read(ref), { ...first, access: { expiresAt: 1_700_003_600_000 } })
      const read = await store.read(ref)
      t.equal(Buffer.from(read?.access?.sealed ?? []).toString(), 'sealed access token')
      t.equal(Buffer.from(read?.sealedRefresh ?? []).toString(), 'sealed refresh token')
      t.equal(await under.dueAt(ref), 42)
    })

    t.test('details that this version does not know survive a rewrite', async (t) => {
      const first = await stored()
      const details = { ...first.details, fromTheFuture: { deep: [1, 'ü'] } }
      await store.commit({ seen: first, next: successor(first, { details }), dueAt: undefined })
      const read = await store.read(first.ref)
      if (!read) return t.fail('it is gone')
      await store.commit({ seen: read, next: successor(read, { status: 'reconnect_required' }), dueAt: undefined })
      t.strictSame((await store.read(first.ref))?.details, details)
    })

    t.test('a first write needs an absent record', async (t) => {
      const first = await stored()
      const answer = await store.commit({ seen: undefined, next: connection(first.ref), dueAt: undefined })
      t.match(answer, { kind: 'lost', current: { writeId: first.writeId } })
    })

    t.test('a write over a record that is gone is lost', async (t) => {
      const never = connection(freshRef())
      const answer = await store.commit({ seen: never, next: successor(never), dueAt: undefined })
      t.strictSame(answer, { kind: 'lost', current: undefined })
    })

    t.test('the same write sent twice is written once, and written is what both hear', async (t) => {
      const first = await stored()
      const input = { seen: first, next: successor(first), dueAt: undefined, events: [happened('token.refreshed')] }
      t.strictSame(await store.commit(input), { kind: 'written' })
      t.strictSame(await store.commit(input), { kind: 'written' })
      t.equal((await store.read(first.ref))?.revision, 2)
      t.equal((await under.events(first.ref)).length, 1)
    })

    t.test('the same revision with another write id is another write', async (t) => {
      const first = await stored()
      const imposter = { ...first, writeId: '0123456789abcdef' }
      t.match(await store.commit({ seen: imposter, next: successor(first), dueAt: undefined }), {
        kind: 'lost',
        current: { writeId: first.writeId }
      })
    })

    t.test('of many racing commits exactly one wins, and the losers see it', async (t) => {
      const first = await stored()
      const rivals = Array.from({ length: 10 }, () => successor(first))
      const answers = await Promise.all(rivals.map((next) => store.commit({ seen: first, next, dueAt: undefined })))
      const winner = rivals[answers.findIndex(({ kind }) => kind === 'written')]
      t.equal(answers.filter(({ kind }) => kind === 'written').length, 1)
      t.ok(winner)
      for (const answer of answers) {
        if (answer.kind === 'lost') t.equal(answer.current?.writeId, winner?.writeId)
      }
      t.equal((await store.read(first.ref))?.writeId, winner?.writeId)
    })

    t.test('grants and events are in the same write: all of them, or none when it is lost', async (t) => {
      const first = await stored()
      const grants = [
        { number: 1, entry: waitingGrant(1, { dataCenter: 'eu' }) },
        { number: 12, entry: waitingGrant(12, { dataCenter: 'in' }) }
      ]
      const events = [happened('connection.connected'), happened('grant.superseded')]
      const second = successor(first)
      await store.commit({ seen: first, next: second, dueAt: undefined, grants, events })
      t.match(await store.waitingGrants(first.ref), [
        { number: 1, dataCenter: 'eu' },
        { number: 12, dataCenter: 'in' }
      ])
      t.strictSame(await under.events(first.ref), events)

      const lost = { number: 1, entry: undefined }
      await store.commit({ seen: first, next: successor(first), dueAt: undefined, grants: [lost], events })
      t.strictSame(numbers(await store.waitingGrants(first.ref)), [1, 12])
      t.equal((await under.events(first.ref)).length, 2)

      await store.commit({ seen: second, next: successor(second), dueAt: undefined, grants: [lost] })
      t.strictSame(numbers(await store.waitingGrants(first.ref)), [12])
    })

    t.test('waiting grants come in order of their number', async (t) => {
      const first = await stored()
      t.strictSame(await store.waitingGrants(first.ref), [])
      const grants = [
        { number: 10, entry: waitingGrant(10, { dataCenter: 'in' }) },
        { number: 2, entry: waitingGrant(2) }
      ]
      await store.commit({ seen: first, next: successor(first), dueAt: undefined, grants })
      const waiting = await store.waitingGrants(first.ref)
      t.match(waiting, [
        { number: 2, kind: 'superseded', dataCenter: 'eu' },
        { number: 10, kind: 'superseded', dataCenter: 'in' }
      ])
      t.equal(Buffer.from(waiting[0]?.sealedRefresh ?? []).toString(), 'old')
    })

    t.test('a record of a newer version is never written, whoever asks', async (t) => {
      const first = await stored()
      const next = { ...successor(first), readOnly: true as const }
      await t.rejects(store.commit({ seen: first, next, dueAt: undefined }), { code: 'ERR_RECORD_TOO_NEW' })
      t.equal((await store.read(first.ref))?.writeId, first.writeId)
    })

    t.test('the due time is the one of the last write, and goes when there is none', async (t) => {
      const first = await stored()
      t.equal(await under.dueAt(first.ref), undefined)
      const second = successor(first)
      await store.commit({ seen: first, next: second, dueAt: 9_000_000_000_000, events: [happened('a.b')] })
      t.equal(await under.dueAt(first.ref), 9_000_000_000_000)
      await store.commit({ seen: second, next: successor(second), dueAt: undefined })
      t.equal(await under.dueAt(first.ref), undefined)
    })

    t.test('a durable write is a write', async (t) => {
      const ref = freshRef()
      t.strictSame(await store.commit({ seen: undefined, next: connection(ref), dueAt: undefined, durable: true }), {
        kind: 'written'
      })
      t.ok(await store.read(ref))
    })
  }

  async function leaseContract(t: Test) {
    t.test('a lease is had once, for an absent record too', async (t) => {
      const ref = freshRef()
      t.match(await store.begin(asks(ref)), { kind: 'go' })
      const second = await store.begin(asks(ref, { owner: 'owner-2' }))
      t.equal(second.kind, 'held')
      if (second.kind === 'held') t.ok(second.forMs > 0 && second.forMs <= 15_000)
    })

    t.test('of many who begin at once exactly one goes', async (t) => {
      const first = await stored()
      const owners = Array.from({ length: 10 }, (_, i) => `owner-${i}`)
      const begun = await Promise.all(owners.map((owner) => store.begin(asks(first.ref, { seen: first, owner }))))
      t.equal(begun.filter(({ kind }) => kind === 'go').length, 1)
      t.equal(begun.filter(({ kind }) => kind === 'held').length, 9)
    })

    t.test('whoever saw another record gets the stored one and takes nothing', async (t) => {
      const first = await stored()
      t.match(await store.begin(asks(first.ref)), { kind: 'changed', current: { writeId: first.writeId } })
      const gone = freshRef()
      t.strictSame(await store.begin(asks(gone, { seen: first })), { kind: 'changed', current: undefined })
      t.match(await store.begin(asks(first.ref, { seen: first, owner: 'owner-2', limit: 1 })), { kind: 'go' })
    })

    t.test('a lease ends by itself, and its late owner does not free the next one', async (t) => {
      const ref = freshRef()
      await store.begin(asks(ref, { owner: 'slow', ttlMs: 30 }))
      await eventually(async () => (await store.begin(asks(ref, { owner: 'next' }))).kind === 'go')
      t.equal(await store.renew(ref, 'slow', 15_000), false)
      await store.release(ref, 'slow')
      const late = connection(ref)
      t.strictSame(await store.commit({ seen: undefined, next: late, owner: 'slow', dueAt: undefined }), {
        kind: 'written'
      })
      t.match(await store.begin(asks(ref, { seen: late, owner: 'third' })), { kind: 'held' })
    })

    t.test('its owner prolongs it', async (t) => {
      const ref = freshRef()
      await store.begin(asks(ref, { ttlMs: 1000 }))
      t.equal(await store.renew(ref, 'owner-1', 60_000), true)
      const other = await store.begin(asks(ref, { owner: 'owner-2' }))
      t.ok(other.kind === 'held' && other.forMs > 1000)
      t.equal(await store.renew(freshRef(), 'owner-1', 60_000), false, 'nobody has a lease that was never taken')
    })

    t.test('its owner gives it up', async (t) => {
      const ref = freshRef()
      await store.begin(asks(ref))
      await store.release(ref, 'owner-1')
      t.match(await store.begin(asks(ref, { owner: 'owner-2' })), { kind: 'go' })
    })

    t.test("a commit frees its owner's lease, and one that is lost frees nothing", async (t) => {
      const first = await stored()
      await store.begin(asks(first.ref, { seen: first }))
      const lost = { seen: undefined, next: connection(first.ref), owner: 'owner-1', dueAt: undefined }
      await store.commit(lost)
      t.match(await store.begin(asks(first.ref, { seen: first, owner: 'owner-2' })), { kind: 'held' })
      const second = successor(first)
      await store.commit({ seen: first, next: second, owner: 'owner-1', dueAt: undefined })
      t.match(await store.begin(asks(first.ref, { seen: second, owner: 'owner-2' })), { kind: 'go' })
    })
  }

  async function budgetContract(t: Test) {
    /** Takes a lease and gives it up again, at `now`. */
    async function spend(ref: ConnectionRef, more: Partial<BeginInput>) {
      const owner = `owner-${Math.random()}`
      const begun = await store.begin(asks(ref, { owner, ...more }))
      await store.release(ref, owner)
      return begun
    }

    t.test('a share ends at its limit, until its oldest charge leaves the window', async (t) => {
      const ref = freshRef()
      const now = under.clock.now()
      for (const at of [0, 1000, 2000]) t.match(await spend(ref, { now: now + at }), { kind: 'go' })
      t.strictSame(await spend(ref, { now: now + 3000 }), { kind: 'over', until: now + WINDOW_MS })
      t.strictSame(await spend(ref, { now: now + WINDOW_MS - 1 }), { kind: 'over', until: now + WINDOW_MS })
      t.match(await spend(ref, { now: now + WINDOW_MS }), { kind: 'go' })
      t.strictSame(await spend(ref, { now: now + WINDOW_MS }), { kind: 'over', until: now + WINDOW_MS + 1000 })
    })

    t.test('a limit that was lowered counts what was spent before', async (t) => {
      const ref = freshRef()
      const now = under.clock.now()
      for (const at of [0, 1000, 2000]) await spend(ref, { now: now + at })
      t.strictSame(await spend(ref, { now: now + 3000, limit: 1 }), { kind: 'over', until: now + WINDOW_MS + 2000 })
    })

    t.test('whoever is over takes no lease', async (t) => {
      const ref = freshRef()
      await spend(ref, { limit: 1 })
      t.match(await store.begin(asks(ref, { limit: 1, owner: 'poor' })), { kind: 'over' })
      t.match(await store.begin(asks(ref, { share: 'admin', limit: 1, owner: 'rich' })), { kind: 'go' })
    })

    t.test('each share has its own count', async (t) => {
      const ref = freshRef()
      for (const share of ['anyone', 'rejected', 'admin'] as const) {
        t.match(await spend(ref, { share, limit: 1 }), { kind: 'go' })
        t.match(await spend(ref, { share, limit: 1 }), { kind: 'over' })
      }
    })

    t.test('a charge is given back by release or by commit, and only that one', async (t) => {
      const first = await stored()
      const begun = await store.begin(asks(first.ref, { seen: first, limit: 1 }))
      if (begun.kind !== 'go') return t.fail('no lease')
      await store.release(first.ref, 'owner-1', begun.charge)
      const again = await store.begin(asks(first.ref, { seen: first, limit: 1, owner: 'owner-2' }))
      if (again.kind !== 'go') return t.fail('the charge was not given back')
      await store.release(first.ref, 'owner-2', begun.charge)
      t.match(await store.begin(asks(first.ref, { seen: first, limit: 1 })), { kind: 'over' })
      const second = successor(first)
      await store.commit({ seen: first, next: second, giveBack: again.charge, dueAt: undefined })
      t.match(await store.begin(asks(first.ref, { seen: second, limit: 1 })), { kind: 'go' })
    })

    t.test('a closed budget refuses every share until its time', async (t) => {
      const first = await stored()
      const now = under.clock.now()
      const second = successor(first)
      await store.commit({ seen: first, next: second, closeBudgetUntil: now + 5000, dueAt: undefined })
      const closed = { kind: 'over', until: now + 5000 }
      t.strictSame(await spend(first.ref, { seen: second, now }), closed)
      t.strictSame(await spend(first.ref, { seen: second, now: now + 4999, share: 'admin' }), closed)
      t.strictSame(await spend(first.ref, { seen: second, now, share: 'rejected' }), closed)
      t.match(await spend(first.ref, { seen: second, now: now + 5000 }), { kind: 'go' })
    })

    t.test('a closed budget with a used up share opens when both allow it', async (t) => {
      const ref = freshRef()
      const now = under.clock.now()
      await spend(ref, { limit: 1, now })
      const first = connection(ref)
      await store.commit({ seen: undefined, next: first, closeBudgetUntil: now + 5000, dueAt: undefined })
      t.strictSame(await spend(ref, { seen: first, limit: 1, now }), { kind: 'over', until: now + WINDOW_MS })
    })
  }

  async function listContract(t: Test) {
    t.test('a tenant is listed in order of id, page by page, and alone', async (t) => {
      const { tenant } = freshRef()
      const neighbours = [`${tenant}0`, `${tenant}.a`, `${tenant}-`, tenant.slice(0, -1)]
      for (const other of neighbours) await stored({ tenant: other, connection: 'theirs' })
      const ids = ['a', 'B', 'a.b', 'a-b', 'a0', 'z~', '10', '9']
      await Promise.all(ids.map((id) => stored({ tenant, connection: id })))
      const sorted = [...ids].sort()

      const whole = await store.list(tenant, { limit: 100 })
      t.strictSame(
        whole.items.map(({ ref }) => ref.connection),
        sorted
      )
      t.notOk('next' in whole)

      const paged: string[] = []
      let after: string | undefined
      do {
        const page = await store.list(tenant, { limit: 3, ...(after !== undefined && { after }) })
        paged.push(...page.items.map(({ ref }) => ref.connection))
        after = page.next
      } while (after !== undefined)
      t.strictSame(paged, sorted)
    })

    t.test('a last page that is full has no next', async (t) => {
      const { tenant } = freshRef()
      for (const id of ['a', 'b']) await stored({ tenant, connection: id })
      t.notOk('next' in (await store.list(tenant, { limit: 2 })))
      t.equal((await store.list(tenant, { limit: 1 })).next, 'a')
    })

    t.test('a tenant without connections is an empty page', async (t) => {
      t.strictSame(await store.list(freshRef().tenant, { limit: 10 }), { items: [] })
    })

    t.test('ids of full length and odd letters are whole ids', async (t) => {
      const ref = { tenant: `T${'~._-'.repeat(31)}abc`, connection: `c${'0'.repeat(127)}` }
      t.equal(ref.tenant.length, 128)
      const first = await stored(ref)
      await stored({ tenant: ref.tenant, connection: ref.connection.slice(0, 127) })
      t.equal((await store.read(ref))?.writeId, first.writeId)
      t.match(await store.begin(asks(ref, { seen: first })), { kind: 'go' })
      const { items } = await store.list(ref.tenant, { limit: 10 })
      t.strictSame(
        items.map(({ ref }) => ref.connection.length),
        [127, 128]
      )
    })

    t.test('names of objects are ids like others', async (t) => {
      for (const id of ['constructor', 'toString', 'hasOwnProperty']) {
        const ref = { tenant: freshRef().tenant, connection: id }
        t.equal(await store.read(ref), undefined)
        const first = await stored(ref)
        t.equal((await store.read(ref))?.writeId, first.writeId)
      }
    })
  }
}

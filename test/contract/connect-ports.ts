import { createHash, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { ConnectChange, ConnectFlow, ConnectLink, ConnectState } from '../../src/domain/connect-link.ts'
import type { AuditSink, ConnectStore, DueIndex, Tombstones } from '../../src/domain/connect-ports.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { AuditEvent } from '../../src/domain/ports.ts'
import {
  connectFlow,
  connection,
  connectLink,
  eventually,
  freshRef,
  successor,
  waitingGrant
} from '../helpers/connections.ts'
import type { StoreUnderTest } from './connection-store.ts'

/** All ports of connect, disconnect and the sweep over one store, and a look behind them. */
export interface ConnectUnderTest extends StoreUnderTest {
  readonly connectStore: ConnectStore
  readonly dueIndex: DueIndex
  readonly tombstones: Tombstones
  readonly audit: AuditSink
  looseEvents(): Promise<readonly AuditEvent[]>
}

const EARLY_MS = 30_000
const KEPT_MS = 86_400_000
const LATER = 9_000_000_000_000

const happened = (type: string): AuditEvent => ({ type, at: 1, actor: 'ops', data: { link: 'l' } })
const added = (next: ConnectLink): ConnectChange => ({ kind: 'link', id: next.id, seen: undefined, next })
const started = (next: ConnectFlow): ConnectChange => ({ kind: 'flow', id: next.id, seen: undefined, next })
const link = (seen: ConnectLink, next: ConnectLink | undefined): ConnectChange => ({
  kind: 'link',
  id: seen.id,
  seen,
  next
})
const sha256 = () => createHash('sha256').update(randomBytes(32)).digest('hex')

/** What the ports of connect, disconnect and the sweep promise; run on Redis and on the twin. */
export async function connectPortsContract(t: Test, make: (t: Test) => Promise<ConnectUnderTest>): Promise<void> {
  const under = await make(t)
  const { store, connectStore, dueIndex, tombstones, audit } = under

  /** A stored connection with one link, as read. */
  async function linked(changes: Partial<ConnectLink> = {}) {
    const first = connection(freshRef())
    const connect = [added(connectLink(changes))]
    await store.commit({ seen: undefined, next: first, dueAt: undefined, connect })
    const { links } = await connectStore.items(first.ref)
    return { first, ref: first.ref, seen: links[0] as ConnectLink }
  }

  await t.test('links and flows', (t) => itemsContract(t))
  await t.test('links and flows in a commit', (t) => commitContract(t))
  await t.test('pointers and states', (t) => pointerContract(t))
  await t.test('due times', (t) => dueContract(t))
  await t.test('removal', (t) => removalContract(t))
  await t.test('audit', (t) => auditContract(t))

  async function itemsContract(t: Test) {
    t.test('what was changed is read back whole, oldest first', async (t) => {
      const ref = freshRef()
      t.strictSame(await connectStore.items(ref), { links: [], flows: [] })
      const links = [connectLink({ createdAt: 2, tenantLabel: 'Ümläut & Co' }), connectLink({ createdAt: 1 })]
      const flows = [connectFlow('l', { startedAt: 5 }), connectFlow('l', { startedAt: 4, status: 'exchanging' })]
      t.equal(await connectStore.change(ref, { changes: [...links.map(added), ...flows.map(started)] }), true)
      t.strictSame(await connectStore.items(ref), { links: links.reverse(), flows: flows.reverse() })
    })

    t.test('members that this version does not know survive a rewrite', async (t) => {
      const { ref, seen } = await linked({ fromTheFuture: { deep: [1, 'ü'] } } as object)
      await connectStore.change(ref, { changes: [link(seen, { ...seen, starts: 1 })] })
      t.match((await connectStore.items(ref)).links, [{ starts: 1, fromTheFuture: { deep: [1, 'ü'] } }])
    })

    t.test('a new one needs its place free, a removed one is gone', async (t) => {
      const { ref, seen } = await linked()
      t.equal(await connectStore.change(ref, { changes: [added({ ...seen })] }), false)
      t.equal(await connectStore.change(ref, { changes: [link(seen, undefined)] }), true)
      t.strictSame((await connectStore.items(ref)).links, [])
      t.equal(await connectStore.change(ref, { changes: [link(seen, { ...seen, starts: 1 })] }), false)
    })

    t.test('all changes are made, with their events, or none', async (t) => {
      const { ref, seen } = await linked()
      const flow = connectFlow(seen.id)
      const events = [happened('connect_flow.started'), happened('connect_link.opened')]
      const changes = [started(flow), link(seen, { ...seen, starts: 1 })]
      t.equal(await connectStore.change(ref, { changes, events }), true)
      t.strictSame(await under.events(ref), events)
      const late = [started(connectFlow(seen.id)), link(seen, { ...seen, starts: 1 })]
      t.equal(await connectStore.change(ref, { changes: late, events }), false)
      const items = await connectStore.items(ref)
      t.strictSame(
        items.flows.map(({ id }) => id),
        [flow.id]
      )
      t.equal(items.links[0]?.starts, 1)
      t.equal((await under.events(ref)).length, 2)
    })

    t.test('what was written is what the next change may have seen, until somebody else writes', async (t) => {
      const { ref, seen } = await linked()
      const second = { ...seen, starts: 1 }
      t.equal(await connectStore.change(ref, { changes: [link(seen, second)] }), true)
      const third = { ...second, starts: 2 }
      t.equal(await connectStore.change(ref, { changes: [link(second, third)] }), true)
      const [read] = (await connectStore.items(ref)).links
      t.equal(await connectStore.change(ref, { changes: [link(read as ConnectLink, { ...third, starts: 3 })] }), true)
      t.equal(await connectStore.change(ref, { changes: [link(third, { ...third, starts: 9 })] }), false)
    })

    t.test('an object that no store gave is a mistake, not a lost race', async (t) => {
      const { ref, seen } = await linked()
      await t.rejects(connectStore.change(ref, { changes: [link({ ...seen }, undefined)] }), TypeError)
    })

    t.test('of two tabs that spend one link exactly one wins', async (t) => {
      const { ref } = await linked()
      const tab = async (spentBy: string) => {
        const [seen] = (await connectStore.items(ref)).links
        if (!seen || seen.spentBy !== undefined) return false
        return connectStore.change(ref, { changes: [link(seen, { ...seen, spentBy })] })
      }
      const won = await Promise.all(Array.from({ length: 10 }, (_, i) => tab(`flow-${i}`)))
      t.equal(won.filter(Boolean).length, 1)
      t.equal((await connectStore.items(ref)).links[0]?.spentBy, `flow-${won.indexOf(true)}`)
    })

    t.test('of many who start at once five do, and the sixth never', async (t) => {
      const { ref } = await linked()
      const start = async (): Promise<boolean> => {
        for (;;) {
          const [seen] = (await connectStore.items(ref)).links
          if (!seen || seen.starts >= 5) return false
          const changes = [link(seen, { ...seen, starts: seen.starts + 1 }), started(connectFlow(seen.id))]
          if (await connectStore.change(ref, { changes })) return true
        }
      }
      const starts = await Promise.all(Array.from({ length: 8 }, start))
      t.equal(starts.filter(Boolean).length, 5)
      const { links, flows } = await connectStore.items(ref)
      t.equal(links[0]?.starts, 5)
      t.equal(flows.length, 5)
    })
  }

  async function commitContract(t: Test) {
    t.test('a link is made with the record of its connection, also when the answer was lost once', async (t) => {
      const next = connection(freshRef(), { status: 'pending' })
      const made = connectLink()
      const input = { seen: undefined, next, dueAt: undefined, connect: [added(made)] }
      t.strictSame(await store.commit(input), { kind: 'written' })
      t.strictSame(await store.commit(input), { kind: 'written' })
      t.strictSame((await connectStore.items(next.ref)).links, [made])
    })

    t.test('one that is not as seen loses the whole commit', async (t) => {
      const { first, ref, seen } = await linked()
      await connectStore.change(ref, { changes: [link(seen, { ...seen, revokedAt: 1 })] })
      const flow = connectFlow(seen.id)
      const answer = await store.commit({
        seen: first,
        next: successor(first),
        dueAt: 42,
        grants: [{ number: 1, entry: waitingGrant(1) }],
        connect: [started(flow), link(seen, { ...seen, spentBy: flow.id })],
        events: [happened('connection.connected')]
      })
      t.match(answer, { kind: 'lost', current: { writeId: first.writeId }, connectChanged: true })
      t.equal((await store.read(ref))?.revision, 1)
      t.strictSame(await store.waitingGrants(ref), [])
      t.strictSame(await under.events(ref), [])
      t.match(await connectStore.items(ref), { links: [{ revokedAt: 1, spentBy: undefined }], flows: [] })
    })

    t.test('a record that is not as seen loses without a word on links', async (t) => {
      const { first, ref, seen } = await linked()
      await store.commit({ seen: first, next: successor(first), dueAt: undefined })
      const late = { seen: first, next: successor(first), dueAt: undefined, connect: [link(seen, undefined)] }
      t.notOk('connectChanged' in (await store.commit(late)))
      t.equal((await connectStore.items(ref)).links.length, 1)
    })

    t.test('of two flows that spend one link with a grant exactly one does', async (t) => {
      const { first, ref, seen } = await linked()
      const flows = [connectFlow(seen.id), connectFlow(seen.id)]
      await connectStore.change(ref, { changes: flows.map(started) })
      const answers = await Promise.all(
        flows.map((flow) =>
          store.commit({
            seen: first,
            next: successor(first),
            dueAt: undefined,
            connect: [
              link(seen, { ...seen, spentBy: flow.id }),
              { kind: 'flow', id: flow.id, seen: flow, next: { ...flow, status: 'done', endedAt: 1 } }
            ]
          })
        )
      )
      const winner = flows[answers.findIndex(({ kind }) => kind === 'written')]
      t.equal(answers.filter(({ kind }) => kind === 'written').length, 1)
      const items = await connectStore.items(ref)
      t.equal(items.links[0]?.spentBy, winner?.id)
      t.strictSame(
        items.flows.filter(({ status }) => status === 'done').map(({ id }) => id),
        [winner?.id]
      )
    })
  }

  async function pointerContract(t: Test) {
    const state = (ref: ConnectionRef): ConnectState => ({
      ...ref,
      flowId: 'f1',
      linkId: 'l1',
      app: 'desk',
      cookieHash: sha256(),
      verifier: Buffer.from('sealed').toString('base64')
    })

    t.test('links and flows are found by their pointers, until those expire', async (t) => {
      const ref = freshRef()
      const [token, flowId] = [sha256(), randomBytes(16).toString('hex')]
      t.equal(await connectStore.findLink(token), undefined)
      t.equal(await connectStore.findFlow(flowId), undefined)
      await connectStore.pointToLink(token, { ref, id: 'l1' }, 60_000)
      await connectStore.pointToFlow(flowId, { ref, id: flowId }, 60_000)
      t.strictSame(await connectStore.findLink(token), { ref, id: 'l1' })
      t.strictSame(await connectStore.findFlow(flowId), { ref, id: flowId })
      await connectStore.pointToLink(token, { ref, id: 'l1' }, 20)
      await connectStore.pointToFlow(flowId, { ref, id: flowId }, 20)
      await eventually(async () => !(await connectStore.findLink(token)) && !(await connectStore.findFlow(flowId)))
      t.pass()
    })

    t.test('a state is had once, by one, and not after its time', async (t) => {
      const given = state(freshRef())
      const [key, other] = [sha256(), sha256()]
      await connectStore.putState(key, given, 60_000)
      const taken = await Promise.all(Array.from({ length: 5 }, () => connectStore.takeState(key)))
      t.strictSame(taken.filter(Boolean), [given])
      t.equal(await connectStore.takeState(key), undefined)
      await connectStore.putState(other, given, 10)
      await connectStore.pointToFlow(given.flowId, { ref: freshRef(), id: given.flowId }, 10)
      await eventually(async () => !(await connectStore.findFlow(given.flowId)))
      t.equal(await connectStore.takeState(other), undefined)
    })
  }

  async function dueContract(t: Test) {
    /** The due time after a commit with the given things beside the record. */
    async function dueAfter(
      own: number | undefined,
      beside: { grants?: number[]; links?: Partial<ConnectLink>[]; flows?: Partial<ConnectFlow>[] }
    ) {
      const next = connection(freshRef())
      await store.commit({
        seen: undefined,
        next,
        dueAt: own,
        grants: (beside.grants ?? []).map((due, i) => ({ number: i + 1, entry: waitingGrant(i + 1, { due }) })),
        connect: [
          ...(beside.links ?? []).map((each) => added(connectLink(each))),
          ...(beside.flows ?? []).map((each) => started(connectFlow('l', each)))
        ]
      })
      return under.dueAt(next.ref)
    }

    t.test('a commit is due at the earliest of all that waits', async (t) => {
      t.equal(await dueAfter(500, { grants: [700, 600] }), 500)
      t.equal(await dueAfter(undefined, { grants: [700, 600] }), 600)
      t.equal(await dueAfter(500, { flows: [{ deadline: 400 }] }), 400)
      for (const status of ['open', 'exchanging', 'awaiting_confirmation'] as const) {
        t.equal(await dueAfter(undefined, { flows: [{ status, deadline: 400 }] }), 400)
      }
      t.equal(await dueAfter(undefined, {}), undefined)
    })

    t.test('what ended is due for its removal a day later', async (t) => {
      t.equal(await dueAfter(undefined, { links: [{ expiresAt: 1000 }] }), 1000 + KEPT_MS)
      t.equal(await dueAfter(undefined, { links: [{ expiresAt: 1000, revokedAt: 2000 }] }), 2000 + KEPT_MS)
      t.equal(await dueAfter(undefined, { links: [{ expiresAt: LATER, revokedAt: 2000 }] }), 2000 + KEPT_MS)
      for (const status of ['done', 'failed'] as const) {
        t.equal(await dueAfter(undefined, { flows: [{ status, deadline: 1, endedAt: 3000 }] }), 3000 + KEPT_MS)
      }
    })

    t.test('a later commit still counts what waits from before, and forgets what is gone', async (t) => {
      const first = connection(freshRef())
      const grants = [{ number: 1, entry: waitingGrant(1, { due: 600 }) }]
      await store.commit({ seen: undefined, next: first, dueAt: undefined, grants })
      const second = successor(first)
      await store.commit({ seen: first, next: second, dueAt: LATER })
      t.equal(await under.dueAt(first.ref), 600)
      const gone = [{ number: 1, entry: undefined }]
      await store.commit({ seen: second, next: successor(second), dueAt: LATER, grants: gone })
      t.equal(await under.dueAt(first.ref), LATER)
    })

    t.test('a change of links or flows is due in time, and never later than before', async (t) => {
      const next = connection(freshRef())
      await store.commit({ seen: undefined, next, dueAt: LATER })
      await connectStore.change(next.ref, { changes: [added(connectLink())] })
      t.ok(((await under.dueAt(next.ref)) ?? LATER) <= under.clock.now() + EARLY_MS, 'a look soon settles it')
      await connectStore.change(next.ref, { changes: [started(connectFlow('l', { deadline: 700 }))] })
      t.equal(await under.dueAt(next.ref), 700)
      await connectStore.change(next.ref, { changes: [started(connectFlow('l'))] })
      t.equal(await under.dueAt(next.ref), 700)
    })

    t.test('what is due is claimed once, nearest first as far as the limit goes, and comes back', async (t) => {
      const own = await make(t)
      const refs = Array.from({ length: 40 }, () => freshRef())
      for (const [i, ref] of refs.entries()) {
        await own.store.commit({ seen: undefined, next: connection(ref), dueAt: 1000 + i })
      }
      const claims = await Promise.all(
        [1, 2, 3].map(() => own.dueIndex.claim({ now: 1029, limit: 100, visibilityMs: 500 }))
      )
      const ids = claims.flat().map(({ connection }) => connection)
      t.strictSame(
        ids.sort(),
        refs
          .slice(0, 30)
          .map(({ connection }) => connection)
          .sort()
      )
      t.strictSame(await own.dueIndex.claim({ now: 1029, limit: 100, visibilityMs: 500 }), [])
      t.equal((await own.dueIndex.claim({ now: 1528, limit: 100, visibilityMs: 500 })).length, 10)
      t.equal((await own.dueIndex.claim({ now: 1529, limit: 7, visibilityMs: 500 })).length, 7)
      t.equal((await own.dueIndex.claim({ now: 1529, limit: 100, visibilityMs: 500 })).length, 23)
    })

    t.test('settling sets the true time, with what waits beside the record', async (t) => {
      const { first, ref } = await linked()
      const [hidden] = [under.clock.now()]
      await connectStore.change(ref, { changes: [started(connectFlow('l', { deadline: hidden + 600_000 }))] })
      await dueIndex.settle(ref, first, LATER)
      t.equal(await under.dueAt(ref), hidden + 600_000)
      await dueIndex.settle(ref, first, hidden + 5)
      t.equal(await under.dueAt(ref), hidden + 5)
    })

    t.test('settling a record that changed meanwhile leaves it due soon', async (t) => {
      const { first, ref } = await linked()
      await store.commit({ seen: first, next: successor(first), dueAt: LATER })
      for (const seen of [first, undefined]) {
        await dueIndex.settle(ref, seen, LATER)
        t.ok(((await under.dueAt(ref)) ?? LATER) <= under.clock.now() + EARLY_MS)
      }
      t.ok((await store.list(ref.tenant, { limit: 1 })).items[0], 'and listed')
    })

    t.test('settling nothing leaves nothing due', async (t) => {
      const ref = freshRef()
      await connectStore.change(ref, { changes: [] })
      t.not(await under.dueAt(ref), undefined)
      await dueIndex.settle(ref, undefined, undefined)
      t.equal(await under.dueAt(ref), undefined)
    })
  }

  async function removalContract(t: Test) {
    t.test('only the record that was seen is removed', async (t) => {
      const { first, ref } = await linked()
      t.equal(await tombstones.remove(ref, successor(first)), false)
      t.equal((await store.read(ref))?.writeId, first.writeId)
      t.equal(await tombstones.remove(freshRef(), first), false)
      t.equal((await connectStore.items(ref)).links.length, 1)
    })

    t.test('all that hangs on it goes, except its events', async (t) => {
      const { first, ref } = await linked()
      const now = under.clock.now()
      const asks = { ref, owner: 'me', ttlMs: 60_000, share: 'anyone', limit: 1, windowMs: 60_000, now } as const
      await store.begin({ ...asks, seen: first })
      const second = successor(first, { status: 'disconnected' })
      const grants = [{ number: 1, entry: waitingGrant(1) }]
      const events = [happened('connection.disconnected')]
      await store.commit({ seen: first, next: second, dueAt: 1, grants, events })
      t.equal(await tombstones.remove(ref, second), true)
      t.equal(await store.read(ref), undefined)
      t.strictSame(await store.waitingGrants(ref), [])
      t.strictSame(await connectStore.items(ref), { links: [], flows: [] })
      t.strictSame((await store.list(ref.tenant, { limit: 9 })).items, [])
      t.equal(await under.dueAt(ref), undefined)
      t.strictSame(await under.events(ref), events)
      t.match(await store.begin({ ...asks, seen: undefined }), { kind: 'go' }, 'neither lease nor charge is left')
      t.equal(await tombstones.remove(ref, second), false)
    })

    t.test('its id can be used again', async (t) => {
      const { first, ref } = await linked()
      await tombstones.remove(ref, first)
      const again = connection(ref)
      t.strictSame(await store.commit({ seen: undefined, next: again, dueAt: LATER }), { kind: 'written' })
      t.equal((await store.list(ref.tenant, { limit: 9 })).items[0]?.writeId, again.writeId)
      t.equal(await under.dueAt(ref), LATER)
    })
  }

  async function auditContract(t: Test) {
    t.test('an event may belong to a connection without a record, or to none', async (t) => {
      const ref = freshRef()
      audit.append(happened('connect_link.refused'), ref)
      audit.append(happened('callback.refused'))
      await eventually(async () => (await under.events(ref)).length === 1 && (await under.looseEvents()).length === 1)
      t.strictSame(await under.events(ref), [happened('connect_link.refused')])
      t.strictSame(await under.looseEvents(), [happened('callback.refused')])
      await audit.relayOutbox(ref)
      t.equal((await under.events(ref)).length, 1)
    })
  }
}

import fc from 'fast-check'
import t from 'tap'
import { isOpen, linkRefusal } from '../../src/domain/connect-rules.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import { Secret } from '../../src/domain/secret.ts'
import { freshRef } from '../helpers/connections.ts'
import { type ConnectWorld, createConnectWorld, DAY, gives, OPS, sha256 } from './connect-harness.ts'
import { granted, HOUR, MINUTE, SECOND, SERVICE, TIMEOUT } from './harness.ts'

type Grants = Awaited<ReturnType<ConnectWorld['grants']>>

/** One connection, everything that can happen to it, and what must hold at any time. */
function createStory() {
  const world = createConnectWorld({ settings: { storeRetryMs: 40, shares: { anyone: 99, rejected: 99, admin: 99 } } })
  const { zoho, store, main } = world
  const ref = freshRef()
  const on = { consumer: OPS, ref }
  const other = world.connectProcess()
  const [links, states]: [string[], string[]] = [[], []]
  /** Refresh token by access token, and by grant number. */
  const [madeFrom, numbered] = [new Map<string, string>(), new Map<number, string>()]
  const excused = new Set<string>()
  let [imports, seenEvents, epoch, generation] = [0, 0, 0, 0]
  let issued: string | undefined
  let owner: string | undefined

  const pick = <T>(from: readonly T[], n: number): T | undefined => from[n % Math.max(1, from.length)]

  /** What Zoho says to the next exchanges, and after how many turns: a new grant, one that is known, or none worth keeping. */
  async function tellZoho(n: number): Promise<void> {
    const { current, waiting } = await world.grants(ref)
    const what = n % 12
    const known = what === 1 ? current : what === 2 ? pick(waiting, n)?.token : undefined
    zoho.byDefault(async (call) => {
      for (let turns = n % 13; turns > 0; turns--) await new Promise(setImmediate)
      const access = `x${call}`
      if (what === 3) return granted(access)
      if (what === 4) return TIMEOUT
      const token = known ?? `1000.r${call}`
      madeFrom.set(access, token)
      return gives(token, access, what === 5 ? { scopes: [] } : {})
    })
  }

  async function link(n: number): Promise<string> {
    const wishes = n % 2 ? { confirm: true, userRef: 'anna' } : { revokeSupersededNow: n % 4 === 0 }
    const { token } = await world.link(ref, wishes)
    links.push(token)
    return token
  }

  const acts: Record<string, (n: number) => Promise<unknown>> = {
    link,
    press: async (n) => {
      const token = n % 3 ? links.at(-1) : pick(links, n)
      if (token !== undefined) states.push(await world.press(token).catch(() => ''))
    },
    consent: async (n) => {
      await tellZoho(n)
      const state = await world.press(await link(n >> 1))
      await world.comeBack(state, {}, n % 3 ? main : other)
    },
    comeBack: async (n) => {
      await tellZoho(n)
      const state = states.splice(n % Math.max(1, states.length), 1)[0]
      if (state === undefined) return
      await world.comeBack(state, n % 11 === 0 ? { error: 'access_denied' } : {}, n % 2 ? main : other)
    },
    confirm: async (n) => {
      const { flows } = (await world.whole(ref)).items
      const waits = flows.filter(({ status }) => status === 'awaiting_confirmation')
      const flowId = pick(n % 5 && waits.length > 0 ? waits : flows, n)?.id
      const userRef = n % 3 ? 'anna' : 'mallory'
      if (flowId !== undefined) await (n % 2 ? main : other).admin.confirm({ ...on, flowId, userRef })
    },
    disconnect: (n) => main.admin.disconnect({ ...on, purge: n % 2 === 0 }),
    revokeLink: async (n) => {
      const linkId = pick((await world.whole(ref)).items.links, n)?.id
      if (linkId !== undefined) await main.admin.revokeLink({ ...on, linkId })
    },
    quarantine: (n) => (n % 2 ? main.admin.quarantine(on) : main.admin.liftQuarantine(on)),
    bring: async (n) => {
      const { waiting } = await world.grants(ref)
      const token = (n % 3 === 0 && pick(waiting, n)?.token) || `1000.imported-${imports++}`
      zoho.live.add(token)
      await main.broker
        .importGrant({ ...on, app: 'desk', dataCenter: 'eu', refreshToken: new Secret(token) })
        // What a refused import brought is its bringer's.
        .catch((error) => excused.add(token) && Promise.reject(error))
    },
    issue: async () => {
      issued = undefined
      issued = (await main.broker.issue({ consumer: SERVICE, ref })).accessToken.reveal()
    },
    wait: async (n) => world.skip([MINUTE, 11 * MINUTE, HOUR, DAY, 8 * DAY, 91 * DAY][n % 6] as number),
    sweep: (n) => world.sweep(n % 2 ? main : other),
    work: (n) => (n % 2 ? main : other).revokeDue(ref),
    revokeFails: async (n) =>
      zoho.revokes(
        n % 2
          ? { kind: 'failed', code: 'timeout', sent: true }
          : { kind: 'refused', fault: 'throttled', code: 'throttled' }
      ),
    fault: async (n) => store.next(n % 3 ? 'commit' : 'change', n % 2 ? 'fail' : 'lose_reply')
  }

  /** False when it was refused or the store stumbled. */
  async function act(name: string, n: number): Promise<boolean> {
    try {
      await acts[name]?.(n)
      return true
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return false
    }
  }

  /** Tokens that the audit gives up or cannot tell of. */
  function readEvents(): void {
    const events = store.events(ref)
    for (const { type, data } of events.slice(seenEvents)) {
      const token = type === 'grant.revoke_given_up' ? numbered.get(Number(data.grant)) : undefined
      if (token !== undefined) excused.add(token)
      if (type !== 'grant.orphaned' || !/^(unknown|failed)/.test(String(data.outcome))) continue
      for (const each of zoho.live) if (sha256(`key ${each}`).startsWith(String(data.fingerprint))) excused.add(each)
    }
    seenEvents = events.length
  }

  function checkGrants({ current, waiting }: Grants, isActive: boolean): void {
    const stored = [...(current === undefined ? [] : [current]), ...waiting.map(({ token }) => token)]
    must(new Set(stored).size === stored.length, 'a token is stored once')
    must(current === undefined || zoho.live.has(current), 'the current grant is never revoked')
    must((current !== undefined) === isActive, 'there is a current grant exactly where something may be issued')
    for (const token of zoho.live)
      must(stored.includes(token) || excused.has(token), `${token} lives and nobody knows it`)
    must(waiting.filter(({ kind }) => kind === 'candidate').length <= 1, 'one candidate waits')
    for (const { number, token } of waiting) {
      must((numbered.get(number) ?? token) === token, 'a number names one grant')
      numbered.set(number, token)
    }
  }

  async function check(): Promise<void> {
    const { connection, waiting, items } = await world.whole(ref)
    readEvents()
    if (!connection) {
      numbered.clear()
      epoch = 0
    }
    const isActive = connection?.status === 'active' || connection?.status === 'reconnect_required'
    const stored = await world.grants(ref)
    checkGrants(stored, isActive)
    if (stored.current !== undefined) numbered.set(connection?.details.grantNumber ?? 0, stored.current)
    const sameOwner = stored.current === owner
    must(
      !connection || (sameOwner ? connection.epoch >= epoch : connection.epoch > epoch),
      'the epoch rises with the owner'
    )
    epoch = connection?.epoch ?? 0
    owner = stored.current
    if (connection?.access) {
      must(connection.generation >= generation, 'a generation never goes down')
      generation = connection.generation
    }
    const times = [...waiting.map(({ due }) => due), ...items.flows.filter(isOpen).map(({ deadline }) => deadline)]
    const due = store.dueAt(ref) ?? Number.POSITIVE_INFINITY
    const earliest = Math.max(world.clock.now() + 41 * SECOND, Math.min(...times))
    must(times.length === 0 || due <= earliest, 'what waits has a due entry')
    must(!connection || connection.quarantined || due < Number.POSITIVE_INFINITY || !isActive, 'a refresh is due')
  }

  /** What must hold after an act that nothing ran beside. */
  async function checkDone(name: string): Promise<void> {
    const { waiting, items } = await world.whole(ref)
    const now = world.clock.now()
    if (name === 'disconnect') {
      must(!items.flows.some(isOpen) && waiting.every(({ kind }) => kind !== 'candidate'), 'a disconnect ends all')
      must(!items.links.some((link) => linkRefusal(link, now) === undefined), 'also the links')
    }
    if (name !== 'sweep') return
    must(!items.flows.some((flow) => isOpen(flow) && flow.deadline < now), 'a sweep ends what is overdue')
    must(
      waiting.every(({ due }) => due >= now),
      'a sweep does what is due'
    )
  }

  async function checkIssued(): Promise<void> {
    if (issued === undefined) return
    const { current } = await world.grants(ref)
    const refreshed = /^access-(\d+)$/.exec(issued)?.[1]
    const from = refreshed ? world.upstream.calls[Number(refreshed) - 1]?.refreshToken : madeFrom.get(issued)
    must(from === current, `${issued} was handed out, but is not of the current grant`)
    const connection = await world.read(ref)
    must(connection.status === 'active' && !connection.quarantined, 'handed out only while active')
  }

  return {
    world,
    async step(name: string, n: number, beside: string | undefined) {
      issued = undefined
      world.skip(5 * SECOND)
      const [done, too] = await Promise.all([act(name, n), beside === undefined || act(beside, n + 1)])
      // What a sweep claimed and did not finish is hidden for a while.
      if ([name, beside].includes('sweep') && !(done && too)) world.skip(41 * SECOND)
      await Promise.all([main.shield.idle(), other.shield.idle()])
      await check()
      if (beside !== undefined) return
      await checkIssued()
      if (done) await checkDone(name)
    },
    /** When all is well again and the connection ended, nothing of it lives at Zoho. */
    async end() {
      for (let tries = 0; tries < 12; tries++) {
        await act('disconnect', 1)
        await act('sweep', 1)
        world.skip(15 * MINUTE)
      }
      await check()
      const left = [...zoho.live].filter((token) => !excused.has(token))
      must(left.length === 0, `${left} outlived the connection`)
      must(['disconnected', 'pending', undefined].includes(await world.status(ref)), 'it is over')
    }
  }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

const NAMES = [
  ['link', 'press', 'press', 'comeBack', 'comeBack', 'consent', 'consent', 'consent', 'confirm', 'confirm', 'bring'],
  ['disconnect', 'revokeLink', 'quarantine', 'issue', 'issue', 'wait', 'sweep', 'sweep', 'work', 'revokeFails', 'fault']
].flat()

const BESIDE = ['comeBack', 'comeBack', 'consent', 'confirm', 'disconnect', 'bring', 'work', 'sweep', 'link', 'issue']

t.test(
  'whatever admins, people, workers and faults do in whatever order, no grant is lost and none is wrong',
  async (t) => {
    const name = fc.constantFrom(...NAMES)
    const beside = fc.option(fc.constantFrom(...BESIDE), { nil: undefined, freq: 2 })
    const step = fc.tuple(name, fc.nat(40), beside)
    const story = fc.array(step, { minLength: 5, maxLength: 40, size: 'max' })
    await t.resolves(
      fc.assert(
        fc.asyncProperty(story, async (steps) => {
          const { step, end } = createStory()
          for (const [name, n, beside] of steps) await step(name, n, beside)
          await end()
        }),
        { numRuns: 60 }
      )
    )
  }
)

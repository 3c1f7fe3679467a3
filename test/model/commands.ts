import fc from 'fast-check'
import type { IssuedToken } from '../../src/domain/broker.ts'
import { refKey } from '../../src/domain/ids.ts'
import { Secret } from '../../src/domain/secret.ts'
import type { EffectFault } from './effects.ts'
import { accountsOf, CONSUMER, type Memory, MINUTE, type Running, refreshTokenOf, sha256, type World } from './world.ts'
import type { ZohoFault } from './zoho.ts'

const SECOND = 1000
const VISIBILITY_MS = 40 * SECOND
const CLAIM_LIMIT = 100

/** One thing that somebody does, or that goes wrong. `p` and `c` choose a process and a connection. */
export type Command =
  | { readonly do: 'issue'; readonly p: number; readonly c: number; readonly minTtlMs: number | undefined }
  | {
      readonly do: 'import'
      readonly p: number
      readonly c: number
      readonly what: 'new' | 'same' | 'old' | 'bad' | 'astray'
    }
  | {
      readonly do: 'connect'
      readonly p: number
      readonly c: number
      readonly confirm: boolean
      readonly now: boolean
      readonly bring: boolean
    }
  | {
      readonly do: 'callback'
      readonly p: number
      readonly c: number
      readonly how: 'agreed' | 'denied' | 'hostile' | 'other_browser'
    }
  | { readonly do: 'confirm'; readonly p: number; readonly c: number; readonly right: boolean }
  | { readonly do: 'disconnect'; readonly p: number; readonly c: number; readonly purge: boolean }
  | {
      readonly do: 'rejected' | 'force' | 'second_tab' | 'quarantine' | 'lift' | 'revoke_due' | 'end_by_person'
      readonly p: number
      readonly c: number
    }
  | { readonly do: 'sweep'; readonly p: number }
  | { readonly do: 'break'; readonly p: number; readonly fault: EffectFault }
  | { readonly do: 'zoho'; readonly fault: ZohoFault }
  | { readonly do: 'release' }

/** Time passes, then all of this happens at once. */
export interface Batch {
  readonly leapMs: number
  readonly commands: readonly Command[]
}

const p = fc.nat(1)
// Most of it happens to one connection.
const c = fc.constantFrom(0, 0, 0, 1)
const simple = (name: 'rejected' | 'force' | 'second_tab' | 'quarantine' | 'lift' | 'revoke_due' | 'end_by_person') =>
  fc.record({ do: fc.constant(name), p, c })

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('issue' as const), p, c, minTtlMs: fc.constantFrom(undefined, 1_800_000) })
  },
  { weight: 2, arbitrary: simple('rejected') },
  { weight: 3, arbitrary: simple('force') },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('import' as const),
      p,
      c,
      what: fc.constantFrom(
        'new' as const,
        'new' as const,
        'same' as const,
        'old' as const,
        'bad' as const,
        'astray' as const
      )
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('connect' as const),
      p,
      c,
      confirm: fc.boolean(),
      now: fc.boolean(),
      bring: fc.boolean()
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('callback' as const),
      p,
      c,
      how: fc.constantFrom(
        'agreed' as const,
        'agreed' as const,
        'agreed' as const,
        'denied' as const,
        'hostile' as const,
        'other_browser' as const
      )
    })
  },
  { weight: 1, arbitrary: simple('second_tab') },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('confirm' as const), p, c, right: fc.constantFrom(true, true, false) })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('disconnect' as const), p, c, purge: fc.boolean() }) },
  { weight: 1, arbitrary: simple('quarantine') },
  { weight: 1, arbitrary: simple('lift') },
  { weight: 3, arbitrary: simple('revoke_due') },
  { weight: 1, arbitrary: simple('end_by_person') },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sweep' as const), p }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('break' as const),
      p,
      fault: fc.record({
        kind: fc.constantFrom('crash_before', 'crash_after', 'reply_lost', 'store_away', 'store_slow'),
        after: fc.nat(15),
        count: fc.integer({ min: 1, max: 4 })
      }) as fc.Arbitrary<EffectFault>
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('zoho' as const),
      fault: fc.constantFrom<ZohoFault[]>(
        'hang',
        'answer_lost',
        'never_left',
        'server_error',
        'refuse',
        'ours',
        'throttle'
      )
    })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const) }) }
)

const leapMs = fc.constantFrom(
  ...[0, 0, 0, SECOND, 31 * SECOND, 61 * SECOND, 11 * MINUTE, 50 * MINUTE, 61 * MINUTE, 25 * 60 * MINUTE]
)

const anyBatch: fc.Arbitrary<Batch> = fc.record({
  leapMs,
  commands: fc.array(command, { minLength: 1, maxLength: 6, size: 'max' })
})

/** What meets only by luck otherwise, with anything else beside it. */
const themes: readonly Batch[] = [
  // A grant comes back while it is being revoked.
  {
    leapMs: 61 * MINUTE,
    commands: [
      { do: 'zoho', fault: 'hang' },
      { do: 'import', p: 0, c: 0, what: 'old' },
      { do: 'revoke_due', p: 1, c: 0 }
    ]
  },
  { leapMs: 0, commands: [{ do: 'revoke_due', p: 1, c: 0 }, { do: 'release' }] },
  // Everybody wants a fresh token, again and again.
  {
    leapMs: SECOND,
    commands: [
      { do: 'force', p: 0, c: 0 },
      { do: 'rejected', p: 1, c: 0 },
      { do: 'rejected', p: 0, c: 0 }
    ]
  },
  // An answer is late, and somebody else changes the owner meanwhile.
  {
    leapMs: 50 * MINUTE,
    commands: [
      { do: 'zoho', fault: 'hang' },
      { do: 'issue', p: 0, c: 0, minTtlMs: undefined }
    ]
  },
  { leapMs: 31 * SECOND, commands: [{ do: 'disconnect', p: 1, c: 0, purge: false }, { do: 'release' }] }
]

const batch: fc.Arbitrary<Batch> = fc.oneof(
  { weight: 4, arbitrary: anyBatch },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...themes), fc.array(command, { maxLength: 2 }))
      .map(([theme, more]) => ({ ...theme, commands: [...theme.commands, ...more] }))
  }
)

/** Some connections have a past: a grant that serves, and one that waits for its revoke. */
const past: readonly Batch[] = Array.from({ length: 2 }, () => ({
  leapMs: 11 * MINUTE,
  commands: [0, 1].map((c) => ({ do: 'import', p: c, c, what: 'new' }) as const)
}))

/** Somebody who asks for a refresh again and again. */
const pressed: readonly Batch[] = Array.from({ length: 7 }, () => ({
  leapMs: 31 * SECOND,
  commands: [{ do: 'force', p: 0, c: 0 }]
}))

/** A grant is brought back while its revoke is on the way; both answers are late. */
const race: readonly Batch[] = [
  {
    leapMs: 61 * MINUTE,
    commands: [
      { do: 'zoho', fault: 'hang' },
      { do: 'import', p: 0, c: 0, what: 'old' }
    ]
  },
  {
    leapMs: 0,
    commands: [
      { do: 'zoho', fault: 'hang' },
      { do: 'revoke_due', p: 1, c: 0 }
    ]
  },
  { leapMs: 0, commands: [{ do: 'release' }] }
]

/** What a run does. */
export const batches: fc.Arbitrary<readonly Batch[]> = fc
  .tuple(
    fc.constantFrom([], past, past, [...past, ...pressed], [...past, ...race]),
    fc.array(batch, { minLength: 2, maxLength: 12, size: 'max' })
  )
  .map(([before, rest]) => [...before, ...rest])

/** Does one command. Resolves when whoever asked has an answer. */
export async function perform(world: World, command: Command): Promise<void> {
  if (command.do === 'zoho') return world.zoho.fault(command.fault)
  if (command.do === 'release') return world.zoho.release()
  const process = world.processes[command.p] as Running
  if (command.do === 'break') return process.effects.arm(command.fault)
  const what = JSON.stringify(command)
  if (command.do === 'sweep') return world.run(process, what, () => sweep(world, process))
  const memory = world.memories[command.c] as Memory
  await world.run(process, what, () => performOn(world, process, memory, command))
}

type OnConnection = Exclude<Command, { do: 'zoho' | 'release' | 'break' | 'sweep' }>

async function performOn(world: World, process: Running, memory: Memory, command: OnConnection): Promise<unknown> {
  const { broker, grantAdmin, revokeDue } = process.parts
  const { ref } = memory
  const by = { consumer: CONSUMER, ref }
  switch (command.do) {
    case 'issue': {
      const { minTtlMs } = command
      return issued(world, process, memory, () => broker.issue({ ...by, ...(minTtlMs !== undefined && { minTtlMs }) }))
    }
    case 'rejected':
      return issued(world, process, memory, () => broker.rejected({ ...by, generation: memory.highest }))
    case 'force':
      return broker.forceRefresh(by)
    case 'import':
      return opening(memory, () => importGrant(world, process, memory, command.what))
    case 'connect':
      return connect(world, process, memory, command)
    case 'second_tab':
      return startFlow(world, process, memory, memory.links.at(-1))
    case 'callback':
      return opening(memory, () => callback(world, process, memory, command.how))
    case 'confirm':
      return opening(memory, () => confirm(world, process, memory, command.right))
    case 'quarantine':
      return closes(memory, () => grantAdmin.quarantine(by))
    case 'lift':
      return opening(memory, () => grantAdmin.liftQuarantine(by))
    case 'disconnect':
      memory.purged ||= command.purge
      return closes(memory, () => grantAdmin.disconnect({ ...by, purge: command.purge }))
    case 'revoke_due':
      return revokeDue(ref)
    case 'end_by_person': {
      const connection = await world.observer.store.read(ref)
      const token = connection && refreshTokenOf(world, connection)
      return token && world.zoho.endByPerson(token)
    }
  }
}

/** What the workers do when their turn has come. */
export async function sweep(world: World, { claim, parts }: Running): Promise<void> {
  const refs = await claim({ now: world.clock.now(), limit: CLAIM_LIMIT, visibilityMs: VISIBILITY_MS })
  for (const ref of refs) await parts.attend(ref)
}

async function opening<T>(memory: Memory, work: () => Promise<T>): Promise<T> {
  memory.closed = undefined
  memory.opening++
  try {
    return await work()
  } finally {
    memory.opening--
  }
}

async function closes(memory: Memory, work: () => Promise<unknown>): Promise<void> {
  await work()
  if (memory.opening === 0) memory.closed = {}
}

/** A token that was handed out is of this tenant, lives, has a number of its own, and was not to be withheld. */
async function issued(world: World, process: Running, memory: Memory, ask: () => Promise<IssuedToken>): Promise<void> {
  const { highest, closed } = memory
  const name = refKey(memory.ref)
  const { accessToken, generation, expiresAt } = await ask()
  if (process.effects.dead()) return
  const token = accessToken.reveal()
  const known = world.zoho.access.get(token)
  if (!known) return world.violation(`${name}: handed out a token that Zoho never gave`)
  if (refKey(known.grant.ref) !== name) world.violation(`I5: ${name} was handed a token of ${refKey(known.grant.ref)}`)
  if (known.expiresAt < expiresAt) world.violation(`${name}: handed out a token as living longer than it does`)
  if (expiresAt <= world.clock.now()) world.violation(`${name}: handed out a token that has ended`)
  const other = memory.generations.get(generation)
  if (other !== undefined && other !== token)
    world.violation(`I6: generation ${generation} of ${name} names two tokens`)
  if (generation < highest) world.violation(`I6: the generation of ${name} went down from ${highest} to ${generation}`)
  if (closed && memory.closed === closed) world.violation(`${name}: handed out although it was closed before`)
  memory.generations.set(generation, token)
  memory.highest = Math.max(memory.highest, generation)
}

async function importGrant(
  world: World,
  { parts, effects }: Running,
  memory: Memory,
  what: Extract<Command, { do: 'import' }>['what']
): Promise<void> {
  const { ref } = memory
  // An admin can bring only what somebody outside knows, not what Zoho is just telling us.
  const own = [...world.zoho.grants.values()].filter(
    (grant) => refKey(grant.ref) === refKey(ref) && (grant.by === 'admin' || memory.promised.has(grant.token))
  )
  const isAgain = (what === 'same' || what === 'old') && own.length > 0
  const older = what === 'old' ? own.at(-2) : own.at(-1)
  const grant = (isAgain && older) || world.zoho.makeGrant(ref, 'eu', what === 'bad' ? { ended: 'by_person' } : {})
  const dataCenter = what === 'astray' ? 'us' : grant.dataCenter
  const refreshToken = new Secret(grant.token)
  await parts.broker.importGrant({ consumer: CONSUMER, ref, app: 'desk', dataCenter, refreshToken })
  if (!effects.dead()) memory.promised.add(grant.token)
}

async function connect(
  world: World,
  process: Running,
  memory: Memory,
  { confirm, now, bring }: Extract<Command, { do: 'connect' }>
): Promise<void> {
  const { ref } = memory
  const { token } = await process.parts.grantAdmin.createLink({
    consumer: CONSUMER,
    ref,
    options: { app: 'desk', confirm, revokeSupersededNow: now, ...(confirm && { userRef: userOf(memory) }) }
  })
  world.zoho.secrets.push(token.reveal())
  memory.links.push(token.reveal())
  await startFlow(world, process, memory, token.reveal())
  if (bring) await opening(memory, () => callback(world, process, memory, 'agreed'))
}

async function startFlow(
  world: World,
  { parts }: Running,
  memory: Memory,
  linkToken: string | undefined
): Promise<void> {
  if (linkToken === undefined) return
  await parts.connectPages.look(linkToken)
  const cookieHash = sha256(`${linkToken}${world.random()}`)
  const started = await parts.connectPages.start({ linkToken, cookieHash })
  if ('url' in started) memory.consents.push({ consent: world.zoho.consent(memory.ref, started.url), cookieHash })
}

async function callback(
  world: World,
  { parts, effects }: Running,
  memory: Memory,
  how: Extract<Command, { do: 'callback' }>['how']
): Promise<void> {
  const found = memory.consents.shift()
  if (!found) return
  const { consent, cookieHash } = found
  const { state, dataCenter } = consent
  const place = {
    location: dataCenter,
    accountsServer: how === 'hostile' ? 'https://accounts.evil.invalid' : accountsOf(dataCenter)
  }
  const answer = how === 'denied' ? { error: 'access_denied' } : { code: new Secret(consent.code) }
  const browser = how === 'other_browser' ? sha256('another') : cookieHash
  const outcome = await parts.connectPages.callback({ state, cookieHash: browser, ...place, ...answer })
  if (outcome.kind !== 'ended' || effects.dead()) return
  memory.flows.push(outcome.flowId)
  if (outcome.result === 'connected' || outcome.result === 'awaiting_confirmation') {
    if (how !== 'agreed') world.violation(`${refKey(memory.ref)}: a callback that was ${how} ended ${outcome.result}`)
    const token = world.zoho.tokenOf(consent.code)
    if (token === undefined) world.violation(`${refKey(memory.ref)}: ${outcome.result} without a grant`)
    else memory.promised.add(token)
  }
}

async function confirm(world: World, { parts }: Running, memory: Memory, right: boolean): Promise<void> {
  const flowId = memory.flows.at(-1)
  if (flowId === undefined) return
  const userRef = right ? userOf(memory) : 'somebody else'
  await world.confirming(() => parts.grantAdmin.confirm({ consumer: CONSUMER, ref: memory.ref, flowId, userRef }))
}

function userOf({ ref }: Memory): string {
  return `user of ${refKey(ref)}`
}

import { createHash, randomBytes } from 'node:crypto'
import type { Config } from '../../src/config/config.ts'
import type { Connection } from '../../src/domain/connection.ts'
import { isBrokerError } from '../../src/domain/errors.ts'
import { type ConnectionRef, refKey } from '../../src/domain/ids.ts'
import type { BrokerEvent } from '../../src/domain/ports.ts'
import type { Clients } from '../../src/redis/clients.ts'
import { createStoreCall } from '../../src/redis/store-call.ts'
import { createFingerprint } from '../../src/sealing/fingerprint.ts'
import { createKeyring } from '../../src/sealing/keyring.ts'
import { type ModelProcess, openModelProcess, type ProcessPorts } from '../helpers/model-process.ts'
import { joinStore } from '../helpers/redis-store.ts'
import { createEffects, type Effects } from './effects.ts'
import { type Consent, createModelZoho } from './zoho.ts'

const SECOND = 1000
export const MINUTE = 60 * SECOND
export const BUDGET = 5
export const BUDGET_WINDOW_MS = 10 * MINUTE
export const SECOND_STRIKE_MS = MINUTE
export const LEASE_TTL_MS = 15 * SECOND

const REFS: readonly ConnectionRef[] = [
  { tenant: 'acme', connection: 'desk' },
  { tenant: 'globex', connection: 'desk' }
]
const SCOPES = ['Desk.tickets.READ']
const DATA_CENTERS = ['eu', 'us']
const PROCESSES = 2

/** Waited for by real timers, so it is short; everything else is as by default. */
const CALLER_DEADLINE_MS = 120

/** How long a batch may take to come to rest. */
const REST_MS = 20_000

/** Moves every expiry under a prefix nearer by ARGV[2] ms: the store's part of time that passes. */
const AGE = `
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':*', 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local left = redis.call('PTTL', key)
    if ARGV[2] == 'all' then redis.call('DEL', key)
    elseif left > 0 and left <= tonumber(ARGV[2]) then redis.call('DEL', key)
    elseif left > 0 then redis.call('PEXPIRE', key, left - tonumber(ARGV[2])) end
  end
until cursor == '0'
`

export const CONSUMER = {
  name: 'model',
  allow: [
    {
      actions: ['token', 'read', 'connect', 'refresh', 'disconnect'] as const,
      tenants: ['*'],
      connections: ['*']
    }
  ]
}

/** Plants a bug between a process and its ports. */
export type Mutant = (ports: ProcessPorts) => ProcessPorts

/** The clients of one lane: connections outlive the runs that use them. */
export interface Lane {
  readonly processes: readonly Clients[]
  readonly observer: Clients
}

export interface Running extends ModelProcess {
  readonly effects: Effects
  readonly emitted: BrokerEvent[]
  /** Commands of the model that have not ended. */
  running: number
}

/** What the model remembers of one connection. */
export interface Memory {
  readonly ref: ConnectionRef
  /** Link tokens that were given out, and consents that were not brought back. */
  readonly links: string[]
  readonly consents: { readonly consent: Consent; readonly cookieHash: string }[]
  readonly flows: string[]
  /** Refresh tokens that somebody was told are stored. */
  readonly promised: Set<string>
  /** Access tokens by their generation, and the highest one that a caller has had. */
  readonly generations: Map<number, string>
  highest: number
  /** Commands under way that may make it usable. */
  opening: number
  /** Set when a caller was told that nothing is handed out any more; gone when somebody begins to change that. */
  closed: object | undefined
  purged: boolean
}

export type World = ReturnType<typeof createWorld>

/** Processes over one Redis and one Zoho, a clock that leaps, and what the outside was told. */
export function createWorld(lane: Lane, seed: number, mutant: Mutant | undefined) {
  const prefix = `ztb-model-${randomBytes(6).toString('hex')}`
  const random = createRandom(seed)
  const violations: string[] = []
  const errors: string[] = []
  const emitted: BrokerEvent[] = []
  const charges = new WeakMap<Effects, Map<string, number>>()
  const kicked = new Map<string, ConnectionRef>()
  let leapt = 0
  let leaps = 0
  let confirming = 0
  /** A lease may be left behind by what was done to a process. */
  let disturbed = false
  const clock = { now: () => Date.now() + leapt }
  const keys = [{ id: 'k1', key: randomBytes(32) }]
  const sealer = createKeyring({ keys, prefix })
  const fingerprint = createFingerprint({ keys, prefix })
  const observer = joinStore(lane.observer, { prefix, clock, call: createStoreCall({ deadlineMs: REST_MS }) })
  const violation = (text: string) => void violations.push(text)

  const zoho = createModelZoho({
    clock,
    dataCenters: new Set(DATA_CENTERS),
    app: 'desk',
    scopes: SCOPES,
    leaps: () => leaps,
    violation,
    takeCharge(effects, ref) {
      const charge = charges.get(effects)?.get(refKey(ref))
      charges.get(effects)?.delete(refKey(ref))
      if (charge === undefined && confirming === 0) violation(`${refKey(ref)}: a refresh that nobody was charged for`)
      return charge
    }
  })

  function start(slot: number): Running {
    const effects = createEffects(random, () => {
      disturbed = true
    })
    const own: BrokerEvent[] = []
    const paid = new Map<string, number>()
    charges.set(effects, paid)
    const watch = (ports: ProcessPorts): ProcessPorts => ({
      ...ports,
      store: {
        ...ports.store,
        async begin(input) {
          const begun = await ports.store.begin(input)
          if (begun.kind === 'go') paid.set(refKey(input.ref), input.now)
          return begun
        }
      }
    })
    const process = openModelProcess({
      clients: lane.processes[slot] as Clients,
      prefix,
      config: CONFIG,
      clock,
      zoho: zoho.port(effects),
      sealer,
      fingerprint,
      wrap: effects.wrap,
      change: (ports) => watch(mutant ? mutant(ports) : ports),
      emit: (event) => {
        own.push(event)
        emitted.push(event)
      },
      kickRevoke: (ref) => void kicked.set(refKey(ref), ref)
    })
    return { ...process, effects, emitted: own, running: 0 }
  }

  const processes = Array.from({ length: PROCESSES }, (_, slot) => start(slot))
  const memories = REFS.map(
    (ref): Memory => ({
      ref,
      links: [],
      consents: [],
      flows: [],
      promised: new Set(),
      generations: new Map(),
      highest: 0,
      opening: 0,
      closed: undefined,
      purged: false
    })
  )

  function isAtRest(): boolean {
    return processes.every(
      ({ running, shield, effects }) => effects.dead() || running + shield.size() === zoho.hung(effects)
    )
  }

  return {
    prefix,
    clock,
    zoho,
    sealer,
    fingerprint,
    observer,
    redis: lane.observer.fast,
    processes,
    memories,
    violations,
    violation,
    errors,
    emitted,
    kicked,
    random,

    /** Runs one command in a process; what it may rightly end in is not an error of the model. */
    async run<T>(process: Running, what: string, command: () => Promise<T>): Promise<T | undefined> {
      process.running++
      try {
        return await command()
      } catch (error) {
        errors.push(String(error), JSON.stringify(error))
        if (!process.effects.dead() && !isExpected(error)) violation(`${what}: ${(error as Error)?.stack}`)
        return undefined
      } finally {
        process.running--
      }
    },

    async confirming<T>(work: () => Promise<T>): Promise<T> {
      confirming++
      try {
        return await work()
      } finally {
        confirming--
      }
    },

    disturbed: () => disturbed,

    /** Puts new processes in place of dead ones. */
    revive() {
      for (const [slot, process] of processes.entries()) {
        if (!process.effects.dead()) continue
        process.close()
        processes[slot] = start(slot)
      }
    },

    async leap(ms: number): Promise<void> {
      leapt += ms
      await lane.observer.fast.eval(AGE, 0, prefix, ms)
      if (ms < LEASE_TTL_MS) return
      leaps++
      disturbed = false
    },

    /** Waits until every process does nothing, or waits for Zoho. */
    async rest(): Promise<void> {
      const until = performance.now() + REST_MS
      while (!isAtRest()) {
        if (performance.now() > until) return violation('a command never ends')
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    },

    async close(): Promise<void> {
      zoho.release()
      for (const { effects, close } of processes) {
        effects.die()
        close()
      }
      await lane.observer.fast.eval(AGE, 0, prefix, 'all')
    }
  }
}

const CONFIG = {
  apps: new Map([
    [
      'desk',
      {
        name: 'desk',
        product: 'desk' as const,
        clientId: '1000.ABC',
        clientSecrets: new Map(),
        scopes: SCOPES,
        dataCenters: DATA_CENTERS,
        startAt: 'eu'
      }
    ]
  ]),
  dataCenters: new Map(DATA_CENTERS.map((key) => [key, { key, accounts: accountsOf(key), api: '', desk: '' }])),
  returnUrls: new Map(),
  refresh: {
    budget: BUDGET,
    budgetWindowMs: BUDGET_WINDOW_MS,
    upstreamTimeoutMs: 8 * SECOND,
    connectTimeoutMs: 2 * SECOND,
    leaseTtlMs: LEASE_TTL_MS,
    callerDeadlineMs: CALLER_DEADLINE_MS,
    secondStrikeMs: SECOND_STRIKE_MS,
    backoffFirstMs: 5 * SECOND,
    backoffMaxMs: 5 * MINUTE,
    storeRetryMs: 10 * SECOND,
    inFlight: 50,
    inFlightReserved: 10
  },
  connect: {
    linkLifeMs: 10 * MINUTE,
    stateLifeMs: 10 * MINUTE,
    exchangeDeadlineMs: MINUTE,
    confirmLifeMs: 10 * MINUTE
  },
  revoke: { visibilityMs: 30 * SECOND, giveUpMs: 24 * 60 * MINUTE }
} satisfies Partial<Config>

/** The accounts origin of a data center, as its callback names it. */
export function accountsOf(dataCenter: string): string {
  return `https://accounts.${dataCenter}.invalid`
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The refresh token of a record, opened. */
export function refreshTokenOf({ sealer }: Pick<World, 'sealer'>, { ref, details, sealedRefresh }: Connection) {
  if (!sealedRefresh) return undefined
  const { dataCenter, grantNumber } = details
  return sealer.open(sealedRefresh, { purpose: 'refresh', ref, dataCenter, grantNumber }).reveal()
}

function isExpected(error: unknown): boolean {
  return isBrokerError(error) && error.code !== 'ERR_INTERNAL' && error.code !== 'ERR_SEALED_UNREADABLE'
}

/** mulberry32: the same numbers for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

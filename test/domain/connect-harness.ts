import { createHash, randomBytes } from 'node:crypto'
import type { App } from '../../src/domain/app.ts'
import { createAttend } from '../../src/domain/attend.ts'
import type { ConnectPages, GrantAdmin, LinkOptions } from '../../src/domain/connect-broker.ts'
import { createConnectCallback } from '../../src/domain/connect-callback.ts'
import type { ConnectFlow, ConnectLink } from '../../src/domain/connect-link.ts'
import type { ConnectUpstream, RevokeReply, Tokens } from '../../src/domain/connect-ports.ts'
import { createConnectStart } from '../../src/domain/connect-start.ts'
import type { Connection } from '../../src/domain/connection.ts'
import { ZOHO_DATA_CENTERS } from '../../src/domain/data-center.ts'
import { createGrantAdmin } from '../../src/domain/grant-admin.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import { createLinkAdmin } from '../../src/domain/link-admin.ts'
import { createOrphans, type Orphans } from '../../src/domain/orphans.ts'
import type { BrokerEvent, Sealer, UpstreamReply, WaitingGrant } from '../../src/domain/ports.ts'
import { createRecordUpdate, type RecordUpdate, readWhole } from '../../src/domain/record-update.ts'
import { createRevokeDue } from '../../src/domain/revoke-due.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createStoreGrant } from '../../src/domain/store-grant.ts'
import { freshRef } from '../helpers/connections.ts'
import type { MemoryStore } from '../helpers/memory-store.ts'
import {
  consumer,
  createWorld,
  DESK,
  granted,
  HOUR,
  ids,
  MINUTE,
  type Process,
  type ScriptedUpstream,
  SECOND,
  SETTINGS
} from './harness.ts'

export const DAY = 24 * HOUR

const CONNECT_SETTINGS = {
  ...SETTINGS,
  linkLifeMs: 10 * MINUTE,
  stateLifeMs: 10 * MINUTE,
  pointerKeptMs: DAY,
  exchangeDeadlineMs: MINUTE,
  confirmLifeMs: 10 * MINUTE,
  revokeVisibilityMs: 30 * SECOND,
  revokeGiveUpMs: DAY
}

export type ConnectSettings = typeof CONNECT_SETTINGS

/** An admin who may do everything. */
export const OPS = consumer(['token', 'read', 'connect', 'refresh', 'disconnect'])

export const EU = 'https://accounts.zoho.eu'

export const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The browser of the person who connects. */
export const BROWSER = sha256('cookie')

const tokens: Tokens = {
  token: () => randomBytes(32).toString('base64url'),
  id: () => randomBytes(16).toString('hex'),
  hash: sha256
}

/** Holds one call until the test lets it end. */
export interface CallGate<T> {
  readonly arrived: Promise<void>
  open(reply?: T): void
}

/** A Zoho with grants of its own: it knows which live. Answers what the test tells it, in order, else the truth. */
export interface ScriptedZoho extends ConnectUpstream {
  readonly authorized: { app: string; dataCenter: string; state: string; verifier: string }[]
  readonly exchanged: { app: string; dataCenter: string; code: string; verifier: string; state: string }[]
  readonly revoked: string[]
  /** Refresh tokens that live. */
  readonly live: Set<string>
  exchanges(...replies: UpstreamReply[]): void
  /** What it says to the nth exchange for which it was told nothing. */
  byDefault(answer: (n: number) => UpstreamReply | Promise<UpstreamReply>): void
  /** An error is thrown. */
  revokes(...replies: (RevokeReply | Error)[]): void
  holdExchange(): CallGate<UpstreamReply>
  holdRevoke(): CallGate<RevokeReply>
}

function createZoho(): ScriptedZoho {
  const live = new Set<string>()
  let usual: Parameters<ScriptedZoho['byDefault']>[0] = (n) => gives(`1000.refresh.c${n}`, `access-c${n}`)
  const [authorized, exchanged, revoked]: [
    ScriptedZoho['authorized'],
    ScriptedZoho['exchanged'],
    ScriptedZoho['revoked']
  ] = [[], [], []]
  const exchangeQueue: (() => Promise<UpstreamReply | undefined>)[] = []
  const revokeQueue: (() => Promise<RevokeReply | undefined>)[] = []

  return {
    authorized,
    exchanged,
    revoked,
    live,
    byDefault(answer) {
      usual = answer
    },
    exchanges: (...replies) => exchangeQueue.push(...replies.map((reply) => async () => reply)),
    revokes(...replies) {
      for (const reply of replies) {
        revokeQueue.push(async () => {
          if (reply instanceof Error) throw reply
          return reply
        })
      }
    },
    holdExchange: () => hold(exchangeQueue),
    holdRevoke: () => hold(revokeQueue),
    async authorizeUrl({ app, dataCenter, state }) {
      const verifier = randomBytes(32).toString('base64url')
      authorized.push({ app, dataCenter, state, verifier })
      return { url: `${EU}/oauth/v2/auth?state=${state}`, verifier: new Secret(verifier) }
    },
    async exchange({ app, dataCenter, code, verifier, state }) {
      exchanged.push({ app, dataCenter, code: code.reveal(), verifier: verifier.reveal(), state })
      const n = exchanged.length
      const reply = (await exchangeQueue.shift()?.()) ?? (await usual(n))
      if (reply.kind === 'granted' && reply.refreshToken) live.add(reply.refreshToken.reveal())
      return reply
    },
    async revoke({ refreshToken }) {
      const token = refreshToken.reveal()
      revoked.push(token)
      const reply = await revokeQueue.shift()?.()
      if (reply) return reply
      return live.delete(token) ? { kind: 'revoked' } : { kind: 'gone' }
    }
  }
}

function hold<T>(queue: (() => Promise<T | undefined>)[]): CallGate<T> {
  const arrived = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<T | undefined>()
  queue.push(() => {
    arrived.resolve()
    return opened.promise
  })
  return { arrived: arrived.promise, open: opened.resolve }
}

/** What a good exchange gives. */
export function gives(refreshToken: string, accessToken = 'access', more: Parameters<typeof granted>[1] = {}) {
  return granted(accessToken, { refreshToken: new Secret(refreshToken), ...more })
}

/** One process with all of connect. */
export interface ConnectProcess extends Process {
  readonly pages: ConnectPages
  readonly admin: GrantAdmin
  readonly attend: (ref: ConnectionRef) => Promise<void>
  readonly revokeDue: (ref: ConnectionRef) => Promise<void>
  readonly orphans: Orphans
  readonly update: RecordUpdate
  /** Revokes that were asked for at once. */
  readonly kicked: ConnectionRef[]
}

/** Every argument of a write, as it goes to the store. */
function recorded(store: MemoryStore, writes: unknown[]): MemoryStore {
  const names = ['commit', 'change', 'pointToLink', 'pointToFlow', 'putState', 'append'] as const
  const wrapped = names.map((name) => [
    name,
    (...args: unknown[]) => {
      writes.push(args)
      return (store[name] as (...args: unknown[]) => unknown)(...args)
    }
  ])
  return { ...store, ...Object.fromEntries(wrapped) }
}

interface ProcessOptions {
  readonly apps?: readonly App[]
  readonly sealer?: Sealer
  readonly returnUrls?: ReadonlyMap<string, string>
  /** Calls of this process alone. */
  readonly store?: MemoryStore
}

const RETURN_URLS: ReadonlyMap<string, string> = new Map([['portal', 'https://app.example.com/zoho']])

/** The world of `harness.ts` with people, links and a Zoho that gives codes. */
export function createConnectWorld({ settings: more = {} }: { settings?: Partial<ConnectSettings> } = {}) {
  const settings: ConnectSettings = { ...CONNECT_SETTINGS, ...more }
  const world = createWorld({ settings })
  const zoho = createZoho()
  const writes: unknown[] = []

  function connectProcess(options: ProcessOptions = {}): ConnectProcess {
    const { apps = [DESK], sealer = world.sealer, returnUrls = RETURN_URLS } = options
    const process = world.createProcess({ apps })
    const kicked: ConnectionRef[] = []
    const store = recorded(options.store ?? world.store, writes)
    const base = {
      store,
      connectStore: store,
      dueIndex: store,
      tombstones: store,
      audit: store,
      wakeUp: world.store,
      clock: world.clock,
      ids,
      tokens,
      sealer,
      settings,
      returnUrls,
      shield: process.shield,
      emit: (event: BrokerEvent) => void process.events.push(event),
      kickRevoke: (ref: ConnectionRef) => void kicked.push(ref),
      fingerprint: (secret: Secret) => sha256(`key ${secret.reveal()}`).slice(0, 8),
      upstream: { ...zoho, refresh: (world.upstream as ScriptedUpstream).refresh },
      apps: new Map(apps.map((app) => [app.name, app])),
      dataCenters: new Map(ZOHO_DATA_CENTERS.map((each) => [each.key, each]))
    }
    const update = createRecordUpdate(base)
    const orphans = createOrphans(base)
    const storeGrant = createStoreGrant({ ...base, update, orphans })
    return {
      ...process,
      kicked,
      orphans,
      update,
      pages: { ...createConnectStart(base), callback: createConnectCallback({ ...base, storeGrant }) },
      admin: { ...createLinkAdmin({ ...base, update }), ...createGrantAdmin({ ...base, update }) },
      attend: createAttend({ ...base, update, refresh: process.refresh, readWhole: (ref) => readWhole(base, ref) }),
      revokeDue: createRevokeDue({ ...base, update })
    }
  }

  const main = connectProcess()

  async function link(ref: ConnectionRef, options: Partial<LinkOptions> = {}) {
    const made = await main.admin.createLink({ consumer: OPS, ref, options: { app: 'desk', ...options } })
    return { link: made.link, token: made.token.reveal() }
  }

  /** Presses the button; gives the state that Zoho will bring back. */
  async function press(linkToken: string, { process = main, cookieHash = BROWSER } = {}): Promise<string> {
    const started = await process.pages.start({ linkToken, cookieHash })
    if ('refused' in started) throw new Error(started.refused)
    return new URL(started.url).searchParams.get('state') as string
  }

  type Answer = Parameters<ConnectPages['callback']>[0]
  /** Zoho sends the browser back, by default with a code of the right data center. */
  function comeBack(state: string, changes: { [N in keyof Answer]?: Answer[N] | undefined } = {}, process = main) {
    const code = new Secret(`1000.code.${zoho.exchanged.length}`)
    const answer = { state, cookieHash: BROWSER, code, location: 'eu', accountsServer: EU, ...changes }
    const given = Object.entries(answer).filter(([name, value]) => name === 'cookieHash' || value !== undefined)
    return process.pages.callback(Object.fromEntries(given) as unknown as Answer)
  }

  /** A person goes the whole way by a new link. */
  async function consent(ref: ConnectionRef, options: Partial<LinkOptions> = {}) {
    const made = await link(ref, options)
    const outcome = await comeBack(await press(made.token))
    if (outcome.kind === 'refused') throw new Error(outcome.why)
    return { ref, ...made, ...outcome }
  }

  const whole = (ref: ConnectionRef) => readWhole({ store: world.store, connectStore: world.store }, ref)

  async function flowOf(ref: ConnectionRef, flowId?: string): Promise<ConnectFlow> {
    const { flows } = (await whole(ref)).items
    const found = flowId === undefined ? flows.at(-1) : flows.find(({ id }) => id === flowId)
    if (!found) throw new Error('there is no such flow')
    return found
  }

  async function linkOf(ref: ConnectionRef, linkId?: string): Promise<ConnectLink> {
    const { links } = (await whole(ref)).items
    const found = linkId === undefined ? links.at(-1) : links.find(({ id }) => id === linkId)
    if (!found) throw new Error('there is no such link')
    return found
  }

  /** The opened refresh token of the current grant (number 0: there is none), and those that wait, by number. */
  async function grants(ref: ConnectionRef) {
    const { connection, waiting } = await whole(ref)
    const open = (dataCenter: string, grantNumber: number, sealed: Uint8Array) =>
      world.sealer.open(sealed, { purpose: 'refresh', ref, dataCenter, grantNumber }).reveal()
    const { dataCenter, grantNumber } = connection?.details ?? { dataCenter: '', grantNumber: 0 }
    return {
      current: connection?.sealedRefresh && open(dataCenter, grantNumber, connection.sealedRefresh),
      waiting: waiting.map((each: WaitingGrant) => ({
        number: each.number,
        kind: each.kind,
        reason: each.reason,
        token: open(each.dataCenter, each.number, each.sealedRefresh)
      }))
    }
  }

  const types = (ref: ConnectionRef) => world.store.events(ref).map(({ type }) => type)

  /** The sweep and the revoke worker until nothing is due. */
  async function sweep(process = main): Promise<void> {
    for (let rounds = 0; rounds < 10; rounds++) {
      const now = world.clock.now()
      const due = await world.store.claim({ now, limit: 100, visibilityMs: 40 * SECOND })
      if (due.length === 0) return
      for (const ref of due) await process.attend(ref)
      for (const ref of process.kicked.splice(0)) await process.revokeDue(ref)
    }
  }

  async function status(ref: ConnectionRef): Promise<Connection['status'] | undefined> {
    return (await world.store.read(ref))?.status
  }

  return {
    ...world,
    settings,
    zoho,
    writes,
    main,
    connectProcess,
    link,
    press,
    comeBack,
    consent,
    whole,
    flowOf,
    linkOf,
    grants,
    types,
    sweep,
    status,
    /** Nothing else is stored of a connection that only has a link. */
    async pending(options: Partial<LinkOptions> = {}) {
      const ref = freshRef()
      return { ref, ...(await link(ref, options)) }
    }
  }
}

export type ConnectWorld = ReturnType<typeof createConnectWorld>

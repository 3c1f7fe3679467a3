import type { Redis } from 'ioredis'
import type { ConnectFlow } from '../../src/domain/connect-link.ts'
import { isOpen } from '../../src/domain/connect-rules.ts'
import type { Connection } from '../../src/domain/connection.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { AuditEvent, WaitingGrant } from '../../src/domain/ports.ts'
import { decodeConnectItems } from '../../src/redis/connect-items.ts'
import { createKeys } from '../../src/redis/keys.ts'
import { decodeRecord } from '../../src/redis/record.ts'
import { decodeWaitingGrants } from '../../src/redis/waiting-grants.ts'
import { createKeyring } from '../../src/sealing/keyring.ts'
import { hashOf } from '../../src/simulator/token-format.ts'
import type { Stage } from './stage.ts'

/** How late the due index may lead to a connection whose writer died. */
const EARLY_MS = 30_000

/** Everything stored of one connection at one moment. Grants are named as the simulator names them, by a hash. */
export interface Page {
  readonly connection: Connection | undefined
  readonly current: string | undefined
  readonly waiting: readonly WaitingGrant[]
  readonly waitingHashes: readonly string[]
  readonly flows: readonly ConnectFlow[]
  readonly outbox: number
  readonly dueAt: number | undefined
}

/** An entry of the audit stream. `id` is the outbox id, empty for what never was in an outbox. */
export interface AuditEntry {
  readonly connection: string
  readonly id: string
  readonly event: AuditEvent
}

/** What the store says and what Zoho's ledger says, side by side. Connections are in tenant `acme`. */
export interface Books {
  page(connection: string): Promise<Page>
  /** What of the connection wants work although the due index does not lead there in time; undefined: nothing. */
  forgotten(connection: string): Promise<string | undefined>
  /** No event waits for its relay, no grant for its revoke, no flow for its end. */
  isSettled(connection: string): Promise<boolean>
  audit(connection: string): Promise<AuditEntry[]>
  /** Each way in which a settled connection and the ledger disagree. `user` consented to it and to nothing else. */
  faults(connection: string, user: string, broker?: number): Promise<string[]>
}

/** Opens the books of a stage. */
export function createBooks(stage: Stage): Books {
  const redis: Redis = stage.redis.client()
  const keys = createKeys(stage.prefix)
  const sealer = createKeyring({ keys: [{ id: 'k1', key: stage.sealingKey }], prefix: stage.prefix })
  const { control } = stage.simulator

  function hashOfSealed(ref: ConnectionRef, sealed: Uint8Array, dataCenter: string, grantNumber: number): string {
    return hashOf(sealer.open(sealed, { purpose: 'refresh', ref, dataCenter, grantNumber }).reveal())
  }

  async function page(name: string): Promise<Page> {
    const ref = { tenant: 'acme', connection: name }
    const answers = await redis
      .multi()
      .getBuffer(keys.record(ref))
      .hgetall(keys.grants(ref))
      .hgetall(keys.connect(ref))
      .xlen(keys.outbox(ref))
      .zscore(keys.due(ref), `acme/${name}`)
      .exec()
    const [record, grants, items, outbox, due] = (answers ?? []).map(([, value]) => value)
    const connection = Buffer.isBuffer(record) ? decodeRecord(ref, record) : undefined
    const waiting = decodeWaitingGrants(ref, grants as Record<string, string>)
    const { dataCenter = '', grantNumber = 0 } = connection?.details ?? {}
    return {
      connection,
      current: connection?.sealedRefresh && hashOfSealed(ref, connection.sealedRefresh, dataCenter, grantNumber),
      waiting,
      waitingHashes: waiting.map((each) => hashOfSealed(ref, each.sealedRefresh, each.dataCenter, each.number)),
      flows: decodeConnectItems(ref, items as Record<string, string>).flows,
      outbox: Number(outbox),
      dueAt: due === null ? undefined : Number(due)
    }
  }

  async function audit(name: string): Promise<AuditEntry[]> {
    const entries = await redis.xrange(keys.audit, '-', '+')
    return entries
      .map(([, fields]) => Object.fromEntries(fields.map((field, i) => [field, fields[i + 1] ?? ''])))
      .filter(({ connection }) => connection === `acme/${name}`)
      .map(({ connection = '', id = '', event = '' }) => ({ connection, id, event: JSON.parse(event) }))
  }

  return {
    page,
    audit,

    async forgotten(name) {
      const { waiting, flows, outbox, dueAt } = await page(name)
      const now = Date.now()
      const wants = [
        ...(outbox > 0 ? [now] : []),
        ...waiting.map(({ due }) => due),
        ...flows.filter(isOpen).map(({ deadline }) => deadline)
      ]
      if (wants.length === 0) return undefined
      const latest = Math.max(Math.min(...wants), now + EARLY_MS)
      if (dueAt !== undefined && dueAt <= latest) return undefined
      return `${name}: ${wants.length} wait, the index says ${dueAt === undefined ? 'never' : `${dueAt - latest} ms too late`}`
    },

    async isSettled(name) {
      const { connection, waiting, flows, outbox } = await page(name)
      return outbox === 0 && waiting.length === 0 && !flows.some(isOpen) && connection?.status !== 'disconnecting'
    },

    async faults(name, user, broker = 0) {
      const stored = await page(name)
      const entries = await audit(name)
      const { grants } = await control.listGrants({ user })
      const live = grants.filter(({ state }) => state === 'live').map(({ grant }) => grant)
      const token = await stage.token(name, { broker })
      const minted = token.status === 200 ? hashOf(token.body.access_token) : undefined
      const { access_tokens } = await control.listAccessTokens({ user })
      const issuedFrom = access_tokens.find((each) => each.access_token === minted && each.state === 'live')?.grant
      return [
        ...grantFaults(stored, live, issuedFrom, token.status),
        ...auditFaults(stored, entries),
        ...(stored.dueAt === undefined ? ['it is not in the due index'] : [])
      ].map((fault) => `${name}: ${fault}`)
    }
  }
}

function grantFaults(stored: Page, live: readonly string[], issuedFrom: string | undefined, status: number): string[] {
  const { connection, current, waitingHashes, flows } = stored
  const known = [...(current === undefined ? [] : [current]), ...waitingHashes]
  const unknown = live.filter((grant) => !known.includes(grant))
  const lost = flows.filter(({ result }) => result === 'exchange_outcome_unknown').length
  const serves = connection?.status === 'active'
  return [
    ...known.filter((grant) => !live.includes(grant)).map((grant) => `${grant} is kept and dead upstream`),
    ...(unknown.length > lost ? [`${unknown.length} live grants nobody knows, ${lost} flows tell of one`] : []),
    ...(serves && (status !== 200 || issuedFrom !== current) ? [`a token is not to be had: ${status}`] : []),
    ...(!serves && status === 200 ? [`a token is issued though it is ${connection?.status}`] : []),
    ...(!serves && (connection?.access || connection?.sealedRefresh) ? ['it keeps tokens that nobody may use'] : [])
  ]
}

function auditFaults({ connection, flows }: Page, entries: readonly AuditEntry[]): string[] {
  const doubled = Map.groupBy(
    entries.filter(({ id }) => id !== ''),
    ({ id }) => id
  )
  const facts = [...doubled.values()].map(([first]) => (first as AuditEntry).event)
  const count = (types: readonly string[], data: Partial<AuditEvent['data']> = {}) =>
    facts.filter((fact) => types.includes(fact.type) && Object.entries(data).every(([k, v]) => fact.data[k] === v))
      .length
  const once = (types: readonly string[], data: Partial<AuditEvent['data']>, times = 1) => {
    const n = count(types, data)
    return n === times ? [] : [`${n} times ${types.join(' or ')} ${JSON.stringify(data)}, not ${times}`]
  }
  const { grantNumber = 0, grantsNumbered = grantNumber } = connection?.details ?? {}
  const numbers = Array.from({ length: grantsNumbered }, (_, i) => i + 1)
  const ended = connection?.status === 'disconnected' ? 1 : 0
  return [
    ...[...doubled.values()]
      .filter((copies) => new Set(copies.map(({ event }) => JSON.stringify(event))).size > 1)
      .map(([first]) => `outbox id ${first?.id} names two events`),
    ...once(
      ['connection.imported', 'connection.connected', 'connection.confirmed'],
      { grant: grantNumber },
      grantNumber > 0 ? 1 : 0
    ),
    ...numbers.flatMap((grant) =>
      once(['grant.revoked', 'grant.revoke_given_up'], { grant }, grant === grantNumber && !ended ? 0 : 1)
    ),
    ...once(['connection.disconnect_requested'], {}, ended),
    ...once(['connection.disconnected'], {}, ended),
    ...flows
      .filter(({ result }) => result === 'exchange_outcome_unknown')
      .flatMap(({ id }) => once(['connect_flow.failed'], { flow: id, possible_orphan: true }))
  ]
}

import { isOpen } from '../../src/domain/connect-rules.ts'
import type { Connection } from '../../src/domain/connection.ts'
import { refKey } from '../../src/domain/ids.ts'
import type { AuditEvent, WaitingGrant } from '../../src/domain/ports.ts'
import { dueAt } from '../../src/domain/schedule.ts'
import { Secret } from '../../src/domain/secret.ts'
import { findLeaks, redisTexts } from '../helpers/leaks.ts'
import {
  BUDGET,
  BUDGET_WINDOW_MS,
  CONSUMER,
  type Memory,
  MINUTE,
  refreshTokenOf,
  SECOND_STRIKE_MS,
  type World
} from './world.ts'

/** The longest time for which work is rightly put off: a claim, or a closed budget. */
const PUT_OFF_MS = BUDGET_WINDOW_MS + MINUTE

/** What one look at the store shows of a connection. */
interface Picture {
  readonly memory: Memory
  readonly name: string
  readonly connection: Connection | undefined
  readonly waiting: readonly WaitingGrant[]
  readonly events: readonly AuditEvent[]
  /** The token that is current, and all that are stored. */
  readonly current: string | undefined
  readonly stored: ReadonlySet<string>
}

/** Looks at the store from outside and holds every promise against it. `watched` remembers what was seen before. */
export function createInvariants(world: World) {
  /** Every refresh token that was seen in the store, with the numbers that it had there. */
  const watched = new Map<string, { readonly memory: Memory; readonly numbers: Set<number> }>()

  async function look(memory: Memory): Promise<Picture> {
    const { ref } = memory
    const { store } = world.observer
    // From current to waiting is the way that grants go: read in that order none is overlooked.
    const connection = await store.read(ref)
    const waiting = await store.waitingGrants(ref)
    const current = connection && refreshTokenOf(world, connection)
    const tokens = waiting.map((grant) => ({ number: grant.number, token: openWaiting(grant) }))
    if (connection && current !== undefined) tokens.push({ number: connection.details.grantNumber, token: current })
    for (const { number, token } of tokens) {
      const seen = watched.get(token) ?? { memory, numbers: new Set() }
      seen.numbers.add(number)
      watched.set(token, seen)
    }
    const stored = new Set(tokens.map(({ token }) => token))
    return { memory, name: refKey(ref), connection, waiting, current, stored, events: await eventsOf(memory) }

    function openWaiting({ sealedRefresh, dataCenter, number }: WaitingGrant): string {
      return world.sealer.open(sealedRefresh, { purpose: 'refresh', ref, dataCenter, grantNumber: number }).reveal()
    }
  }

  async function eventsOf({ ref }: Memory): Promise<AuditEvent[]> {
    const { keys } = world.observer
    const relayed = await world.redis.xrange(keys.audit, '-', '+')
    const left = await world.redis.xrange(keys.outbox(ref), '-', '+')
    return [
      ...relayed.filter(([, fields]) => fields[1] === refKey(ref)).map(([, fields]) => fields[5]),
      ...left.map(([, fields]) => fields[1])
    ].map((text) => JSON.parse(text ?? ''))
  }

  /** I1: what was stored is stored, or the audit says what became of it. */
  function checkKept({ memory, name, events, stored, connection, current }: Picture): void {
    const ends = events.filter(({ type }) => type === 'grant.revoked' || type === 'grant.revoke_given_up')
    for (const [token, { memory: owner, numbers }] of watched) {
      if (owner !== memory || stored.has(token)) continue
      if (!ends.some(({ data }) => numbers.has(Number(data.grant)))) {
        world.violation(`I1: grant ${[...numbers]} of ${name} is gone without a reason`)
      }
    }
    for (const token of memory.promised) {
      const isFound = stored.has(token) || watched.has(token)
      // Stored and revoked between two looks: one revoke for each such grant at least.
      if (!isFound && ends.length === 0) world.violation(`I1: a grant of ${name} that was told to be stored is not`)
    }
    if (connection?.status === 'active' && current !== undefined) {
      const grant = world.zoho.grants.get(current)
      if (!grant) world.violation(`${name}: the current grant is none of Zoho's`)
      if (grant?.ended === 'revoked') world.violation(`I1: the current grant of ${name} was revoked by us`)
      if (grant && grant.mints.length === 0 && grant.by === 'admin') {
        world.violation(`${name}: an import was stored before Zoho vouched for it`)
      }
    }
    if (connection?.status === 'reconnect_required') checkGivenUp(name, events, current)
  }

  function checkGivenUp(name: string, events: readonly AuditEvent[], current: string | undefined): void {
    if (!events.some(({ type }) => type === 'connection.reconnect_required')) {
      world.violation(`I1: ${name} needs a reconnect, and the audit does not say why`)
    }
    const refusedAt = world.zoho.grants.get(current ?? '')?.refusedAt ?? []
    if (Math.max(...refusedAt) - Math.min(...refusedAt) < SECOND_STRIKE_MS) {
      world.violation(`I1: ${name} needs a reconnect after less than two strikes`)
    }
  }

  /** The due index knows everyone who needs work; it may be early, never missing. */
  async function checkDue({ memory, name, connection, waiting }: Picture): Promise<void> {
    const { keys, connectStore } = world.observer
    const now = world.clock.now()
    const { flows } = await connectStore.items(memory.ref)
    const wanted = [
      ...(connection ? [dueAt(connection, now)] : []),
      ...waiting.map(({ due }) => due),
      ...flows.filter(isOpen).map(({ deadline }) => deadline),
      ...((await world.redis.xlen(keys.outbox(memory.ref))) > 0 ? [now] : [])
    ].filter((at) => at !== undefined)
    if (wanted.length === 0) return
    const score = await world.redis.zscore(keys.due(memory.ref), name)
    const latest = Math.max(now, Math.min(...wanted)) + PUT_OFF_MS
    if (score === null) world.violation(`the due index has lost ${name}`)
    else if (Number(score) > latest) world.violation(`${name} is due too late, by ${Number(score) - latest} ms`)
  }

  async function checkLease({ memory, name }: Picture): Promise<void> {
    const isBusy = world.processes.some(({ effects }) => world.zoho.hung(effects) > 0)
    if (isBusy || world.disturbed()) return
    if ((await world.redis.exists(world.observer.keys.lease(memory.ref))) === 1) {
      world.violation(`a lease of ${name} is left behind`)
    }
  }

  /** I4, by grant: that is what Zoho counts, and a purge begins a new life. */
  function checkBudget(): void {
    const lives = [...world.zoho.grants.values()].map((grant) => [grant])
    const whole = world.memories
      .filter(({ purged }) => !purged)
      .map(({ ref }) => [...world.zoho.grants.values()].filter((grant) => refKey(grant.ref) === refKey(ref)))
    for (const grants of [...lives, ...whole]) {
      const charged = grants
        .flatMap(({ mints }) => mints.flatMap(({ chargedAt }) => chargedAt ?? []))
        .sort((a, b) => a - b)
      const isOver = charged.some((at, i) => at - (charged[i - BUDGET] ?? Number.NEGATIVE_INFINITY) < BUDGET_WINDOW_MS)
      if (isOver) {
        world.violation(`I4: ${refKey(grants[0]?.ref as Memory['ref'])} had more than ${BUDGET} refreshes in a window`)
        return
      }
    }
  }

  /** I3: no secret anywhere but sealed. */
  async function checkLeaks(): Promise<void> {
    const secrets = world.zoho.secrets
    const leaks = findLeaks(secrets, [
      ...(await redisTexts(world.redis, world.prefix)),
      ['errors', world.errors.join('\n')],
      ['events', JSON.stringify(world.emitted)]
    ])
    if (leaks.length > 0) world.violation(`I3: ${JSON.stringify(leaks.slice(0, 3))}`)
  }

  /** What a consent gave and nobody kept or revoked is named in the audit. */
  function checkOrphans({ memory, name, events }: Picture): void {
    const lost = [...world.zoho.grants.values()].filter(
      (grant) =>
        refKey(grant.ref) === refKey(memory.ref) && grant.by === 'consent' && !grant.ended && !watched.has(grant.token)
    )
    const named = new Set(events.filter(({ type }) => type === 'grant.orphaned').map(({ data }) => data.fingerprint))
    const unknown = lost.filter(({ token }) => !named.has(world.fingerprint(new Secret(token))))
    const possible = events.filter(
      ({ data }) => data.possible_orphan === true || data.result === 'exchange_outcome_unknown'
    )
    if (unknown.length > possible.length)
      world.violation(`I1: a consent of ${name} is lost, and the audit does not say so`)
  }

  /** After the faults have ended and time has passed: everything is settled, and what can be served is. */
  async function checkSettled({ memory, name, connection, waiting, current }: Picture): Promise<void> {
    const { flows } = await world.observer.connectStore.items(memory.ref)
    if (connection?.status === 'disconnecting') world.violation(`${name} is still disconnecting`)
    if (flows.some(isOpen)) world.violation(`a flow of ${name} is still on its way`)
    if (waiting.some(({ kind, due }) => kind === 'candidate' || due <= world.clock.now() - MINUTE)) {
      world.violation(`a grant of ${name} still waits`)
    }
    if (connection?.status !== 'active' || connection.quarantined) return
    if (world.zoho.grants.get(current ?? '')?.ended) return
    const [process] = world.processes
    const token = await process?.parts.broker.issue({ consumer: CONSUMER, ref: memory.ref }).catch((error) => error)
    if (!token || token instanceof Error || token.health !== 'ok')
      world.violation(`${name} has no good token in the end: ${token}`)
  }

  return {
    /** Holds at any time. */
    async check(): Promise<void> {
      for (const memory of world.memories) {
        const picture = await look(memory)
        checkKept(picture)
        await checkDue(picture)
        await checkLease(picture)
      }
      checkBudget()
    },

    /** Holds when everything has come to its end. */
    async checkEnd(): Promise<void> {
      for (const memory of world.memories) {
        const picture = await look(memory)
        checkOrphans(picture)
        await checkSettled(picture)
      }
      await checkLeaks()
    }
  }
}

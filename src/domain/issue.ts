import type { IssuedToken } from './broker.ts'
import { type Connection, decide } from './connection.ts'
import { BrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import { type Consumer, judge } from './policy.ts'
import type { Clock, ConnectionStore, Emit, Sealer } from './ports.ts'
import type { Refresh, RefreshWish } from './refresh.ts'
import { isUsable, refreshAt, timeLeftMs } from './schedule.ts'
import type { Secret } from './secret.ts'

export interface IssueDeps {
  readonly store: ConnectionStore
  readonly refresh: Refresh
  readonly sealer: Sealer
  readonly clock: Clock
  readonly emit: Emit
}

export interface Issue {
  issue(input: { consumer: Consumer; ref: ConnectionRef; minTtlMs?: number }): Promise<IssuedToken>
  rejected(input: { consumer: Consumer; ref: ConnectionRef; generation: number }): Promise<IssuedToken>
}

/** Hands out tokens: read, look whether it may and can be used, refresh if not, look again, answer. */
export function createIssue(deps: IssueDeps): Issue {
  const { store, refresh, clock } = deps
  // The store gives the same object for the same bytes, so a token is opened once for each stored value.
  const opened = new WeakMap<Connection, Secret>()

  return {
    async issue({ consumer, ref, minTtlMs }) {
      return issueFrom(await readAllowed(consumer, ref), consumer, minTtlMs)
    },

    async rejected({ consumer, ref, generation }) {
      const connection = await readAllowed(consumer, ref)
      // Another generation than the current one was refused: the current one is news to the caller.
      if (connection.generation !== generation) return issueFrom(connection, consumer, undefined)
      const wish: RefreshWish = {
        share: 'rejected',
        satisfied: (current) => current.generation !== generation && isUsable(current, undefined, clock.now()),
        actor: consumer.name
      }
      const result = await refresh(connection, wish)
      const current = admit(result.connection)
      if (wish.satisfied(current)) return answer(current, 'ok', clock.now())
      throw result.stopped ?? noToken()
    }
  }

  async function issueFrom(connection: Connection, consumer: Consumer, minTtlMs: number | undefined) {
    const now = clock.now()
    if (isUsable(connection, minTtlMs, now)) return answer(connection, 'ok', now)
    return refreshThenAnswer(connection, {
      share: 'anyone',
      satisfied: (current) => isUsable(current, minTtlMs, clock.now()),
      actor: consumer.name
    })
  }

  async function readAllowed(consumer: Consumer, ref: ConnectionRef): Promise<Connection> {
    const connection = await store.read(ref)
    const verdict = judge(consumer, 'token', ref)
    if (!connection || verdict === 'hidden') throw notFound()
    if (verdict === 'forbidden') throw forbidden('token')
    return admit(connection)
  }

  async function refreshThenAnswer(connection: Connection, wish: RefreshWish): Promise<IssuedToken> {
    const result = await refresh(connection, wish)
    // What comes back may be a record that somebody else ended meanwhile.
    const current = admit(result.connection)
    const now = clock.now()
    if (wish.satisfied(current)) return answer(current, 'ok', now)
    if (timeLeftMs(current, now) > 0) return answer(current, 'degraded', now)
    throw result.stopped ?? noToken()
  }

  function answer(connection: Connection, health: 'ok' | 'degraded', now: number): IssuedToken {
    const { generation, access } = connection
    if (!access) throw noToken()
    const nextTryAt = connection.details.failure?.nextTryAt ?? 0
    return {
      accessToken: open(connection),
      expiresAt: access.expiresAt,
      refreshAt: health === 'ok' ? refreshAt(connection) : Math.min(access.expiresAt, Math.max(now, nextTryAt)),
      generation,
      health,
      connection
    }
  }

  function open(connection: Connection): Secret {
    const known = opened.get(connection)
    if (known) return known
    const { ref, generation, access, details } = connection
    try {
      const token = deps.sealer.open((access as NonNullable<Connection['access']>).sealed, {
        purpose: 'access',
        ref,
        dataCenter: details.dataCenter,
        grantNumber: details.grantNumber,
        generation,
        expiresAt: (access as NonNullable<Connection['access']>).expiresAt
      })
      opened.set(connection, token)
      return token
    } catch (error) {
      deps.emit({ type: 'sealed.unreadable', ref, purpose: 'access' })
      throw error
    }
  }
}

/** Refuses a connection from which nothing may be issued, in the order of `DESIGN.md` §6. */
export function admit(connection: Connection | undefined): Connection {
  const outcome = decide('issue', connection)
  const refused = 'refuse' in outcome ? outcome.refuse : undefined
  if (!connection || refused === 'ERR_CONNECTION_NOT_FOUND') throw notFound()
  if (refused === 'ERR_DISCONNECTED') throw disconnected()
  if (refused === 'ERR_NOT_CONNECTED') {
    throw new BrokerError(
      'ERR_NOT_CONNECTED',
      'Nobody has connected this yet; an admin makes a connect link or imports a grant.'
    )
  }
  if (connection.quarantined) {
    throw new BrokerError(
      'ERR_QUARANTINED',
      'An admin stopped hand-outs of this connection; the grant is kept and hand-outs can be resumed.'
    )
  }
  if (refused) {
    throw new BrokerError(
      'ERR_RECONNECT_REQUIRED',
      'Zoho does not accept this grant any more; an admin has to reconnect it.'
    )
  }
  return connection
}

/** The one answer for a connection that is not there and one that the consumer may not see. */
export function notFound(): BrokerError {
  return new BrokerError('ERR_CONNECTION_NOT_FOUND', 'There is no such connection, or you may not see it.')
}

/** The consumer may see the connection, but not do this with it. */
export function forbidden(action: string): BrokerError {
  return new BrokerError(
    'ERR_FORBIDDEN',
    `Your policy has no rule that allows the action "${action}" here; ask the operator for one.`
  )
}

/** The connection has ended. */
export function disconnected(): BrokerError {
  return new BrokerError('ERR_DISCONNECTED', 'This connection was disconnected; connect it again to use it.')
}

function noToken(): BrokerError {
  return new BrokerError(
    'ERR_UPSTREAM_UNAVAILABLE',
    'There is no usable token now; repeat after the time in Retry-After.',
    {
      retryAfterMs: 1000
    }
  )
}

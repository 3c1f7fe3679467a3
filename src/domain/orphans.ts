import type { AuditSink, ConnectUpstream } from './connect-ports.ts'
import type { Connection } from './connection.ts'
import { isBrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Clock, ConnectionStore, Emit, Fingerprint, Sealer } from './ports.ts'
import { compareToken } from './same-token.ts'
import type { Secret } from './secret.ts'

export interface Orphan {
  readonly ref: ConnectionRef
  readonly app: string
  readonly dataCenter: string
  readonly token: Secret
  readonly why: string
  /** Given when no write of this grant was ever sent: then the last known record is enough to compare with. */
  readonly unsent?: { readonly known: Connection | undefined }
  /** A write of this grant may still land: then it is only named. */
  readonly mayLand?: boolean
}

/** Grants that Zoho gave and that were not stored. */
export interface Orphans {
  /** Ends one at Zoho, unless it is one that we keep. Never throws; what could not be ended is named in the audit. */
  revoke(orphan: Orphan): Promise<void>
}

type Found = ReturnType<typeof compareToken>

export interface OrphansDeps {
  readonly store: ConnectionStore
  readonly upstream: ConnectUpstream
  readonly sealer: Sealer
  readonly audit: AuditSink
  readonly fingerprint: Fingerprint
  readonly clock: Clock
  readonly emit: Emit
}

/** The one caller of the upstream revoke beside the revoke worker. */
export function createOrphans({ store, upstream, sealer, audit, fingerprint, clock, emit }: OrphansDeps): Orphans {
  return {
    async revoke({ ref, app, dataCenter, token, why, unsent, mayLand = false }) {
      const outcome = await keptOrRevoked()
      const name = fingerprint(token)
      emit({ type: 'grant.orphaned', ref, outcome, fingerprint: name })
      audit.append(
        { type: 'grant.orphaned', at: clock.now(), actor: 'broker', data: { why, outcome, fingerprint: name } },
        ref
      )

      async function keptOrRevoked(): Promise<string> {
        const found = mayLand ? 'unknown' : await compareWithStored()
        // What may be the grant that serves is left alone: an orphan costs less.
        if (found !== 'other') return found === 'same' ? 'kept' : 'unknown'
        const reply = await upstream.revoke({ app, dataCenter, refreshToken: token })
        return reply.kind === 'revoked' || reply.kind === 'gone' ? reply.kind : `failed: ${reply.code}`
      }

      async function compareWithStored(): Promise<Found> {
        try {
          return await compare(ref, token)
        } catch (error) {
          if (!isBrokerError(error)) throw error
          // A write that was sent may have landed.
          return unsent ? compareCurrent(unsent.known, token) : 'unknown'
        }
      }
    }
  }

  /** The current one is looked at twice: a candidate that is confirmed meanwhile moves there from the waiting ones. */
  async function compare(ref: ConnectionRef, token: Secret): Promise<Found> {
    const found = [compareCurrent(await store.read(ref), token)]
    for (const { dataCenter, number, sealedRefresh: sealed } of await store.waitingGrants(ref)) {
      found.push(compareToken(sealer, { ref, dataCenter, grantNumber: number, sealed }, token))
    }
    found.push(compareCurrent(await store.read(ref), token))
    if (found.includes('same')) return 'same'
    return found.includes('unknown') ? 'unknown' : 'other'
  }

  function compareCurrent(connection: Connection | undefined, token: Secret): Found {
    if (!connection?.sealedRefresh) return 'other'
    const { ref, sealedRefresh: sealed, details } = connection
    const { dataCenter, grantNumber } = details
    return compareToken(sealer, { ref, dataCenter, grantNumber, sealed }, token)
  }
}

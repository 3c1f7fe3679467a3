import type { AuditSink, ConnectUpstream } from './connect-ports.ts'
import type { Connection } from './connection.ts'
import { isBrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Clock, ConnectionStore, Emit, Fingerprint, Sealer } from './ports.ts'
import type { Secret } from './secret.ts'

export interface Orphan {
  readonly ref: ConnectionRef
  readonly app: string
  readonly dataCenter: string
  readonly token: Secret
  readonly why: string
  /** Given when no write of this grant was ever sent: then the last known record is enough to compare with. */
  readonly unsent?: { readonly known: Connection | undefined }
}

/** Grants that Zoho gave and that were not stored. */
export interface Orphans {
  /** Ends one at Zoho, unless it is one that we keep. Never throws; what could not be ended is named in the audit. */
  revoke(orphan: Orphan): Promise<void>
}

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
    async revoke({ ref, app, dataCenter, token, why, unsent }) {
      const outcome = await keptOrRevoked()
      const name = fingerprint(token)
      emit({ type: 'grant.orphaned', ref, outcome, fingerprint: name })
      audit.append(
        { type: 'grant.orphaned', at: clock.now(), actor: 'broker', data: { why, outcome, fingerprint: name } },
        ref
      )

      async function keptOrRevoked(): Promise<string> {
        try {
          if (await isKept(ref, token)) return 'kept'
        } catch (error) {
          if (!isBrokerError(error)) throw error
          // A write that was sent may have landed: then this is the grant that serves, and an orphan costs less.
          if (!unsent) return 'unknown'
          if (unsent.known && holds(unsent.known, token)) return 'kept'
        }
        const reply = await upstream.revoke({ app, dataCenter, refreshToken: token })
        return reply.kind === 'revoked' || reply.kind === 'gone' ? reply.kind : `failed: ${reply.code}`
      }
    }
  }

  async function isKept(ref: ConnectionRef, token: Secret): Promise<boolean> {
    const [connection, waiting] = [await store.read(ref), await store.waitingGrants(ref)]
    if (connection && holds(connection, token)) return true
    return waiting.some(({ sealedRefresh, dataCenter, number }) =>
      sealer.open(sealedRefresh, { purpose: 'refresh', ref, dataCenter, grantNumber: number }).equals(token)
    )
  }

  function holds({ ref, sealedRefresh, details }: Connection, token: Secret): boolean {
    if (!sealedRefresh) return false
    const { dataCenter, grantNumber } = details
    return sealer.open(sealedRefresh, { purpose: 'refresh', ref, dataCenter, grantNumber }).equals(token)
  }
}

import { randomBytes } from 'node:crypto'
import type { ConnectUpstream, RevokeReply } from '../../src/domain/connect-ports.ts'
import { type ConnectionRef, refKey } from '../../src/domain/ids.ts'
import type { Clock, Upstream, UpstreamReply } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import type { Effects } from './effects.ts'

const HOUR_MS = 3_600_000
const THROTTLE_WINDOW_MS = 600_000
/** Zoho's own limit of access tokens of one grant in that time. */
const THROTTLE_MINTS = 10

/** What happens to the next call. */
export type ZohoFault = 'hang' | 'answer_lost' | 'never_left' | 'server_error' | 'refuse' | 'ours' | 'throttle'

/** A refresh token as Zoho knows it. */
export interface ZohoGrant {
  readonly token: string
  readonly ref: ConnectionRef
  readonly dataCenter: string
  readonly by: 'consent' | 'admin'
  ended?: 'revoked' | 'by_person'
  readonly refusedAt: number[]
  /** Access tokens by refresh, with the time of the charge that paid for each; undefined: nobody was charged. */
  readonly mints: { readonly at: number; readonly chargedAt: number | undefined }[]
}

/** What a person brings back from the consent page. */
export interface Consent {
  readonly ref: ConnectionRef
  readonly state: string
  readonly code: string
  readonly dataCenter: string
}

export interface ModelZoho {
  readonly grants: ReadonlyMap<string, ZohoGrant>
  readonly access: ReadonlyMap<string, { readonly grant: ZohoGrant; readonly expiresAt: number }>
  /** Everything that must not be found anywhere. */
  readonly secrets: string[]
  /** Calls of one process that wait for `release`. */
  readonly hung: (by: Effects) => number
  fault(next: ZohoFault): void
  calm(): void
  release(): void
  makeGrant(ref: ConnectionRef, dataCenter: string, options?: { ended?: 'by_person' }): ZohoGrant
  endByPerson(token: string): void
  /** The person agrees on the page that `url` leads to. */
  consent(ref: ConnectionRef, url: string): Consent
  /** The refresh token that a code brought; undefined: none yet. */
  tokenOf(code: string): string | undefined
  /** The way of one process to Zoho. */
  port(effects: Effects): Upstream & ConnectUpstream
}

export interface ModelZohoDeps {
  readonly clock: Clock
  /** Places that may be called: data centers by key. */
  readonly dataCenters: ReadonlySet<string>
  readonly app: string
  readonly scopes: readonly string[]
  /** Time passed by leaps so far: a lease may have ended meanwhile. */
  readonly leaps: () => number
  /** Takes the charge that pays for a refresh of this connection; undefined: there is none. */
  readonly takeCharge: (effects: Effects, ref: ConnectionRef) => number | undefined
  readonly violation: (text: string) => void
}

/** Zoho's accounts servers in memory: grants, codes, limits, faults (zoho.md). */
export function createModelZoho(deps: ModelZohoDeps): ModelZoho {
  const { clock, violation } = deps
  const grants = new Map<string, ZohoGrant>()
  const access = new Map<string, { grant: ZohoGrant; expiresAt: number }>()
  const codes = new Map<string, { grantFor: ConnectionRef; dataCenter: string; verifier: string; token?: string }>()
  const verifiers = new Map<string, { verifier: string; dataCenter: string }>()
  const refreshing = new Map<string, number>()
  const secrets: string[] = []
  let faults: ZohoFault[] = []
  let hung: { by: Effects; resume: () => void }[] = []

  function secret(kind: string): string {
    const value = `1000.${kind}.${randomBytes(16).toString('hex')}`
    secrets.push(value)
    return value
  }

  function makeGrant(ref: ConnectionRef, dataCenter: string, by: ZohoGrant['by'], ended?: 'by_person'): ZohoGrant {
    const grant: ZohoGrant = {
      token: secret('r'),
      ref,
      dataCenter,
      by,
      refusedAt: [],
      mints: [],
      ...(ended && { ended })
    }
    grants.set(grant.token, grant)
    return grant
  }

  function granted(grant: ZohoGrant, withRefresh: boolean): UpstreamReply {
    const token = secret('a')
    access.set(token, { grant, expiresAt: clock.now() + HOUR_MS })
    return {
      kind: 'granted',
      accessToken: new Secret(token),
      ...(withRefresh && { refreshToken: new Secret(grant.token) }),
      lifeMs: HOUR_MS,
      scopes: deps.scopes,
      apiDomainDiffers: false
    }
  }

  function hang(by: Effects): Promise<void> {
    return new Promise((resume) => {
      hung.push({ by, resume })
    })
  }

  function checkPlace({ app, dataCenter }: { app: string; dataCenter: string }): void {
    if (app !== deps.app || !deps.dataCenters.has(dataCenter)) violation(`I2: a call to ${app} at ${dataCenter}`)
  }

  /** A call with its fault: what the server does, then what becomes of the answer. */
  async function call(effects: Effects, serve: () => UpstreamReply, refused: () => void): Promise<UpstreamReply> {
    const fault = faults.shift()
    if (fault === 'never_left') return { kind: 'failed', code: 'network', sent: false }
    if (fault === 'server_error') return { kind: 'failed', code: 'http_status', sent: true }
    if (fault === 'throttle') return { kind: 'refused', fault: 'throttled', code: 'throttled' }
    if (fault === 'ours') return { kind: 'refused', fault: 'ours', code: 'invalid_client' }
    if (fault === 'refuse') {
      refused()
      return { kind: 'refused', fault: 'grant', code: 'invalid_code' }
    }
    const reply = serve()
    if (fault === 'answer_lost') return { kind: 'failed', code: 'timeout', sent: true }
    if (fault === 'hang') await hang(effects)
    return reply
  }

  function serveRefresh(
    grant: ZohoGrant | undefined,
    dataCenter: string,
    chargedAt: number | undefined
  ): UpstreamReply {
    if (grant && grant.dataCenter !== dataCenter) return { kind: 'refused', fault: 'ours', code: 'invalid_client' }
    if (!grant || grant.ended) {
      grant?.refusedAt.push(clock.now())
      return { kind: 'refused', fault: 'grant', code: 'invalid_code' }
    }
    const lately = grant.mints.filter(({ at }) => clock.now() - at < THROTTLE_WINDOW_MS)
    if (lately.length >= THROTTLE_MINTS) return { kind: 'refused', fault: 'throttled', code: 'throttled' }
    grant.mints.push({ at: clock.now(), chargedAt })
    return granted(grant, false)
  }

  function serveExchange(code: string, dataCenter: string, verifier: string): UpstreamReply {
    const known = codes.get(code)
    if (!known || known.token !== undefined || known.dataCenter !== dataCenter) {
      return { kind: 'refused', fault: 'grant', code: 'invalid_code' }
    }
    if (known.verifier !== verifier) violation('an exchange with the verifier of another flow')
    const grant = makeGrant(known.grantFor, dataCenter, 'consent')
    known.token = grant.token
    return granted(grant, true)
  }

  function port(effects: Effects): Upstream & ConnectUpstream {
    return {
      refresh: (input) =>
        effects.upstream(async () => {
          checkPlace(input)
          const token = input.refreshToken.reveal()
          const grant = grants.get(token)
          const chargedAt = grant && deps.takeCharge(effects, grant.ref)
          // The refresh of a candidate needs no lease, so nobody paid for it.
          const leased = chargedAt !== undefined
          if (leased && refreshing.get(token) === deps.leaps()) violation('two refreshes of one grant at the same time')
          if (leased) refreshing.set(token, deps.leaps())
          try {
            const serve = () => serveRefresh(grant, input.dataCenter, chargedAt)
            return await call(effects, serve, () => grant?.refusedAt.push(clock.now()))
          } finally {
            if (leased) refreshing.delete(token)
          }
        }),
      exchange: (input) =>
        effects.upstream(() => {
          checkPlace(input)
          return call(
            effects,
            () => serveExchange(input.code.reveal(), input.dataCenter, input.verifier.reveal()),
            () => {}
          )
        }),
      revoke: (input) =>
        effects.upstream(async (): Promise<RevokeReply> => {
          checkPlace(input)
          const fault = faults.shift()
          if (fault === 'never_left') return { kind: 'failed', code: 'network', sent: false }
          if (fault === 'server_error') return { kind: 'failed', code: 'http_status', sent: true }
          if (fault === 'throttle') return { kind: 'refused', fault: 'throttled', code: 'throttled' }
          const grant = grants.get(input.refreshToken.reveal())
          const isGone = !grant || grant.ended !== undefined
          if (grant) grant.ended ??= 'revoked'
          if (fault === 'hang') await hang(effects)
          if (fault === 'answer_lost') return { kind: 'failed', code: 'timeout', sent: true }
          return { kind: isGone ? 'gone' : 'revoked' }
        }),
      authorizeUrl: ({ dataCenter, state }) =>
        effects.upstream(async () => {
          secrets.push(state)
          const verifier = secret('v')
          verifiers.set(state, { verifier, dataCenter })
          return { url: `https://zoho.invalid/?state=${state}`, verifier: new Secret(verifier) }
        })
    }
  }

  return {
    grants,
    access,
    secrets,
    hung: (by) => hung.filter((each) => each.by === by).length,
    fault: (next) => void faults.push(next),
    calm: () => {
      faults = []
    },
    release() {
      const all = hung
      hung = []
      for (const { resume } of all) resume()
    },
    makeGrant: (ref, dataCenter, { ended } = {}) => makeGrant(ref, dataCenter, 'admin', ended),
    endByPerson(token) {
      const grant = grants.get(token)
      if (grant) grant.ended ??= 'by_person'
    },
    consent(ref, url) {
      const state = new URL(url).searchParams.get('state') ?? ''
      const known = verifiers.get(state)
      if (!known) throw new Error(`${refKey(ref)}: no such state at Zoho`)
      const code = secret('c')
      codes.set(code, { grantFor: ref, dataCenter: known.dataCenter, verifier: known.verifier })
      return { ref, state, code, dataCenter: known.dataCenter }
    },
    tokenOf: (code) => codes.get(code)?.token,
    port
  }
}

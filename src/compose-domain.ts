import { createHash, randomBytes } from 'node:crypto'
import type { RedisParts } from './compose-redis.ts'
import type { Config } from './config/config.ts'
import { createAttend } from './domain/attend.ts'
import type { Broker } from './domain/broker.ts'
import type { ConnectPages, GrantAdmin } from './domain/connect-broker.ts'
import { createConnectCallback } from './domain/connect-callback.ts'
import type { ConnectUpstream, Tokens } from './domain/connect-ports.ts'
import { createConnectStart } from './domain/connect-start.ts'
import { createBroker } from './domain/create-broker.ts'
import { createGrantAdmin } from './domain/grant-admin.ts'
import { createGuardedWrite } from './domain/guarded-write.ts'
import type { ConnectionRef } from './domain/ids.ts'
import { createImportGrant } from './domain/import-grant.ts'
import { createIssue } from './domain/issue.ts'
import { createLeaseLoop } from './domain/lease-loop.ts'
import { createLinkAdmin } from './domain/link-admin.ts'
import { createOrphans } from './domain/orphans.ts'
import type { Emit, Fingerprint, Ids, Sealer, Share, Upstream } from './domain/ports.ts'
import { createRecordUpdate, readWhole } from './domain/record-update.ts'
import { createRefresh } from './domain/refresh.ts'
import { createRevokeDue } from './domain/revoke-due.ts'
import type { Shield } from './domain/shield.ts'
import { createStoreGrant } from './domain/store-grant.ts'

/** How often a waiter looks by itself when no wake-up comes. */
const WAIT_POLL_MS = 500
const STORE_RETRY_PAUSE_MS = 250
/** Pointers to links and flows outlive them by a day, so that a late person gets a page that explains. */
const POINTER_KEPT_MS = 86_400_000

export interface DomainParts {
  readonly broker: Broker
  readonly grantAdmin: GrantAdmin
  readonly connectPages: ConnectPages
  /** What the workers do. */
  readonly attend: (ref: ConnectionRef) => Promise<void>
  readonly revokeDue: (ref: ConnectionRef) => Promise<void>
}

export interface DomainDeps {
  readonly config: Config
  readonly redis: RedisParts
  readonly zoho: Upstream & ConnectUpstream
  readonly sealer: Sealer
  readonly fingerprint: Fingerprint
  readonly shield: Shield
  readonly emit: Emit
  readonly kickRevoke: (ref: ConnectionRef) => void
}

/** Joins the domain's functions. */
export function composeDomain({
  config,
  redis,
  zoho,
  sealer,
  fingerprint,
  shield,
  emit,
  kickRevoke
}: DomainDeps): DomainParts {
  const { store, connectStore, dueIndex, tombstones, audit, wakeUp, clock } = redis
  const { apps, dataCenters, returnUrls } = config
  const settings = settingsOf(config)
  const base = {
    store,
    connectStore,
    wakeUp,
    clock,
    ids,
    tokens,
    emit,
    shield,
    sealer,
    upstream: zoho,
    apps,
    dataCenters,
    returnUrls,
    settings,
    audit,
    kickRevoke,
    fingerprint
  }
  const update = createRecordUpdate(base)
  const leaseLoop = createLeaseLoop(base)
  const write = createGuardedWrite(base)
  const refresh = createRefresh({ ...base, leaseLoop, write })
  const orphans = createOrphans(base)
  const storeGrant = createStoreGrant({ ...base, update, orphans })

  return {
    broker: createBroker({
      store,
      refresh,
      apps,
      issue: createIssue({ ...base, refresh }),
      importGrant: createImportGrant({ ...base, leaseLoop, write })
    }),
    grantAdmin: { ...createLinkAdmin({ ...base, update }), ...createGrantAdmin({ ...base, update }) },
    connectPages: { ...createConnectStart(base), callback: createConnectCallback({ ...base, storeGrant }) },
    attend: createAttend({ ...base, update, refresh, dueIndex, tombstones, readWhole: (ref) => readWhole(base, ref) }),
    revokeDue: createRevokeDue({ ...base, update })
  }
}

function settingsOf({ refresh, connect, revoke }: Config) {
  return {
    ...refresh,
    ...connect,
    shares: sharesOf(refresh.budget),
    // A lease is prolonged as long as its holder may rightly be at work: the call, then the store's retries.
    leaseMaxMs: refresh.upstreamTimeoutMs + refresh.storeRetryMs,
    waitPollMs: WAIT_POLL_MS,
    storeRetryPauseMs: STORE_RETRY_PAUSE_MS,
    pointerKeptMs: POINTER_KEPT_MS,
    revokeVisibilityMs: revoke.visibilityMs,
    revokeGiveUpMs: revoke.giveUpMs
  }
}

/** 60 / 20 / 20 % of the budget, rounded, each at least 1 (`DESIGN.md` §3). */
function sharesOf(budget: number): { [S in Share]: number } {
  const part = (share: number) => Math.max(1, Math.round(budget * share))
  return { anyone: part(0.6), rejected: part(0.2), admin: part(0.2) }
}

const ids: Ids = {
  writeId: () => randomBytes(8).toString('hex'),
  owner: () => randomBytes(16).toString('hex'),
  random: Math.random
}

const tokens: Tokens = {
  token: () => randomBytes(32).toString('base64url'),
  id: () => randomBytes(16).toString('hex'),
  hash: (text) => createHash('sha256').update(text).digest('hex')
}

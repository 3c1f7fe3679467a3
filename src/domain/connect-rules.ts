import { auditEvent, type Stamp } from './change.ts'
import type { LinkRefusal } from './connect-broker.ts'
import type { ConnectChange, ConnectFlow, ConnectLink, ConnectResult } from './connect-link.ts'
import type { ConnectItems } from './connect-ports.ts'
import type { DataCenter } from './data-center.ts'
import type { AuditEvent } from './ports.ts'

/** A link may be opened this often; more is somebody fishing. */
export const MAX_STARTS = 5

/** Ended links and flows are kept this long for support to look at. */
const KEPT_MS = 86_400_000

/** Why a link cannot be used now; undefined: it can. */
export function linkRefusal(link: ConnectLink | undefined, now: number): LinkRefusal | undefined {
  if (!link) return 'link_unknown'
  if (link.spentBy !== undefined) return 'link_spent'
  if (link.revokedAt !== undefined) return 'link_revoked'
  if (now >= link.expiresAt) return 'link_expired'
  return link.starts >= MAX_STARTS ? 'too_many_starts' : undefined
}

/** Whether a flow is still on its way. */
export function isOpen({ status }: ConnectFlow): boolean {
  return status === 'open' || status === 'exchanging' || status === 'awaiting_confirmation'
}

/** A flow that came to its end. */
export function endedFlow(
  flow: ConnectFlow,
  status: 'done' | 'failed',
  result: ConnectResult,
  now: number
): ConnectFlow {
  return { ...flow, status, result, endedAt: now }
}

/** A guarded change of a flow that was read. */
export function flowChange(seen: ConnectFlow, next: ConnectFlow): ConnectChange {
  return { kind: 'flow', id: seen.id, seen, next }
}

/** A guarded change of a link that was read. */
export function linkChange(seen: ConnectLink, next: ConnectLink): ConnectChange {
  return { kind: 'link', id: seen.id, seen, next }
}

/** What ends with a connection: every link that can still be used and every flow on its way. */
export function endAll({ links, flows }: ConnectItems, now: number): ConnectChange[] {
  return [
    ...links
      .filter((link) => link.revokedAt === undefined && link.spentBy === undefined)
      .map((link) => linkChange(link, { ...link, revokedAt: now })),
    ...endFlows(flows, now)
  ]
}

/** What ends when a link is taken back: itself, and its flows on their way. */
export function endLink(link: ConnectLink, { flows }: ConnectItems, now: number): ConnectChange[] {
  const own = flows.filter(({ linkId }) => linkId === link.id)
  return [linkChange(link, { ...link, revokedAt: now }), ...endFlows(own, now)]
}

function endFlows(flows: readonly ConnectFlow[], now: number): ConnectChange[] {
  return flows.filter(isOpen).map((flow) => flowChange(flow, endedFlow(flow, 'failed', 'flow_ended', now)))
}

/** The events of flows that these changes end while their code is being spent: Zoho may give a grant that nobody stores. */
export function possibleOrphans(changes: readonly ConnectChange[], stamp: Stamp): AuditEvent[] {
  return changes.flatMap(({ kind, id, seen }) =>
    kind === 'flow' && seen?.status === 'exchanging'
      ? [auditEvent('connect_flow.failed', stamp, { flow: id, result: 'flow_ended', possible_orphan: true })]
      : []
  )
}

/** How a flow that missed its deadline came out. */
export function overdueResult({ status }: ConnectFlow): ConnectResult {
  if (status === 'exchanging') return 'exchange_outcome_unknown'
  return status === 'awaiting_confirmation' ? 'confirmation_expired' : 'flow_ended'
}

/** Links and flows that ended long ago go. */
export function prune({ links, flows }: ConnectItems, now: number): ConnectChange[] {
  return [
    ...links
      .filter((link) => now >= (link.revokedAt ?? link.expiresAt) + KEPT_MS)
      .map((seen): ConnectChange => ({ kind: 'link', id: seen.id, seen, next: undefined })),
    ...flows
      .filter((flow) => flow.endedAt !== undefined && now >= flow.endedAt + KEPT_MS)
      .map((seen): ConnectChange => ({ kind: 'flow', id: seen.id, seen, next: undefined }))
  ]
}

/**
 * The data center that a callback names. Both parameters only select a row of the table and must agree with it
 * character by character: a host from a query string never gets the client secret.
 */
export function selectDataCenter(
  named: { readonly location: string | undefined; readonly accountsServer: string | undefined },
  dataCenters: ReadonlyMap<string, DataCenter>,
  allowed: readonly string[]
): DataCenter | undefined {
  const { location, accountsServer } = named
  if (location === undefined || accountsServer === undefined || !allowed.includes(location)) return undefined
  const row = dataCenters.get(location)
  return row && (accountsServer === row.accounts || accountsServer === `${row.accounts}/`) ? row : undefined
}

import type { ConnectFlow, ConnectLink } from '../domain/connect-link.ts'
import type { FlowViewBody, LinkViewBody } from './connect-schemas.ts'
import { rfc3339 } from './replies.ts'

/** What an admin may see of a link: neither its token nor who has to confirm. */
export function linkView(link: ConnectLink, now: number): LinkViewBody {
  return {
    link_id: link.id,
    state: stateOf(link, now),
    app: link.app,
    ...(link.tenantLabel !== undefined && { tenant_label: link.tenantLabel }),
    ...(link.returnTo !== undefined && { return_to: link.returnTo }),
    ...(link.dataCenter !== undefined && { data_center: link.dataCenter }),
    confirm: link.confirm,
    revoke_superseded: link.revokeSupersededNow ? 'now' : 'later',
    created_at: rfc3339(link.createdAt),
    created_by: link.createdBy,
    expires_at: rfc3339(link.expiresAt),
    starts: link.starts,
    ...(link.spentBy !== undefined && { spent_by: link.spentBy }),
    ...(link.revokedAt !== undefined && { revoked_at: rfc3339(link.revokedAt) })
  }
}

/** What an admin may see of a flow. */
export function flowView(flow: ConnectFlow): FlowViewBody {
  return {
    flow_id: flow.id,
    link_id: flow.linkId,
    status: flow.status,
    ...(flow.result !== undefined && { result: flow.result }),
    data_center: flow.dataCenter,
    started_at: rfc3339(flow.startedAt),
    deadline_at: rfc3339(flow.deadline),
    ...(flow.endedAt !== undefined && { ended_at: rfc3339(flow.endedAt) })
  }
}

function stateOf(link: ConnectLink, now: number): LinkViewBody['state'] {
  if (link.spentBy !== undefined) return 'spent'
  if (link.revokedAt !== undefined) return 'revoked'
  return link.expiresAt <= now ? 'expired' : 'open'
}

import { randomBytes } from 'node:crypto'
import type { ConnectFlow, ConnectLink } from '../../src/domain/connect-link.ts'
import type { Connection } from '../../src/domain/connection.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { WaitingGrant } from '../../src/domain/ports.ts'

/** A connection id that no other test uses. */
export function freshRef(tenant = `t-${randomBytes(6).toString('hex')}`): ConnectionRef {
  return { tenant, connection: `c-${randomBytes(6).toString('hex')}` }
}

export function writeId(): string {
  return randomBytes(8).toString('hex')
}

/** A connection as its first write stores it: active, with both tokens. */
export function connection(ref: ConnectionRef, changes: Partial<Connection> = {}): Connection {
  return {
    ref,
    revision: 1,
    writeId: writeId(),
    epoch: 1_700_000_000_000,
    generation: 1_700_000_000,
    status: 'active',
    quarantined: false,
    purge: false,
    access: { sealed: Buffer.from('sealed access token'), expiresAt: 1_700_003_600_000 },
    sealedRefresh: Buffer.from('sealed refresh token'),
    details: {
      app: 'desk',
      dataCenter: 'eu',
      clientId: '1000.ABC',
      grantNumber: 1,
      scopes: { requested: ['Desk.tickets.READ'], granted: ['Desk.tickets.READ'] },
      times: { created: 1_700_000_000_000, statusSince: 1_700_000_000_000 }
    },
    ...changes
  }
}

/** The same connection one write later. */
export function successor(previous: Connection, changes: Partial<Connection> = {}): Connection {
  return { ...previous, revision: previous.revision + 1, writeId: writeId(), ...changes }
}

/** A grant that was replaced and waits for its revoke. */
export function waitingGrant(number: number, changes: Partial<WaitingGrant> = {}): WaitingGrant {
  return {
    number,
    kind: 'superseded',
    reason: 'replaced',
    app: 'desk',
    clientId: '1000.ABC',
    dataCenter: 'eu',
    sealedRefresh: Buffer.from('old'),
    due: 9_000_000_000_000,
    tries: 0,
    ...changes
  }
}

/** A link that nobody has opened yet. */
export function connectLink(changes: Partial<ConnectLink> = {}): ConnectLink {
  return {
    id: randomBytes(8).toString('hex'),
    app: 'desk',
    confirm: false,
    revokeSupersededNow: false,
    createdAt: 1_700_000_000_000,
    createdBy: 'ops',
    expiresAt: 9_000_000_000_000,
    starts: 0,
    ...changes
  }
}

/** A flow whose person is at Zoho. */
export function connectFlow(linkId: string, changes: Partial<ConnectFlow> = {}): ConnectFlow {
  return {
    id: randomBytes(16).toString('hex'),
    linkId,
    status: 'open',
    dataCenter: 'eu',
    epoch: 1_700_000_000_000,
    startedAt: 1_700_000_000_000,
    deadline: 9_000_000_000_000,
    ...changes
  }
}

/** Looks again until `holds` does. Throws after `ms`. */
export async function eventually(holds: () => unknown, ms = 5000): Promise<void> {
  const until = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > until) throw new Error(`did not come true within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

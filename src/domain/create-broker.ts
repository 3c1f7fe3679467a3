import type { App } from './app.ts'
import type { Broker } from './broker.ts'
import { type Connection, decide } from './connection.ts'
import { BrokerError } from './errors.ts'
import type { ImportGrant } from './import-grant.ts'
import { admit, disconnected, type Issue, notFound } from './issue.ts'
import { judge, seekAllowed } from './policy.ts'
import { requireAllowed } from './policy-gate.ts'
import type { ConnectionStore, Page } from './ports.ts'
import type { Refresh } from './refresh.ts'

/** Store pages that one list call looks at: it may be short where a policy shows little of a tenant. */
const PAGES_PER_LIST = 4

export interface BrokerDeps {
  readonly store: ConnectionStore
  readonly issue: Issue
  readonly refresh: Refresh
  readonly importGrant: ImportGrant
  readonly apps: ReadonlyMap<string, App>
}

/** Policy in front of everything; then the one function that does the work. */
export function createBroker({ store, issue, refresh, importGrant, apps }: BrokerDeps): Broker {
  return {
    issue: issue.issue,
    rejected: issue.rejected,

    async read({ consumer, ref }) {
      const connection = await store.read(ref)
      if (!connection) throw notFound()
      requireAllowed(consumer, 'read', ref)
      return connection
    },

    async list({ consumer, tenant, after = '', limit }) {
      const items: Connection[] = []
      let from = seekAllowed(consumer, 'read', tenant, after)
      for (let pages = 0; from !== undefined && pages < PAGES_PER_LIST && items.length < limit; pages++) {
        const page: Page<Connection> = await store.list(tenant, { limit: limit - items.length, after: from })
        items.push(...page.items.filter(({ ref }) => judge(consumer, 'read', ref) === 'allowed'))
        from = page.next === undefined ? undefined : seekAllowed(consumer, 'read', tenant, page.next)
      }
      return from === undefined ? { items } : { items, next: from }
    },

    async importGrant({ consumer, ref, app: appName, dataCenter, refreshToken }) {
      requireAllowed(consumer, 'connect', ref)
      const app = apps.get(appName)
      if (!app) throw new BrokerError('ERR_APP_UNKNOWN', 'No such app is configured; GET /v1/apps lists them.')
      if (!app.dataCenters.includes(dataCenter)) {
        throw new BrokerError(
          'ERR_WRONG_DATA_CENTER',
          `App ${appName} is not configured for this data center; it has ${app.dataCenters.join(', ')}.`
        )
      }
      return importGrant({ ref, app, dataCenter, refreshToken, actor: consumer.name })
    },

    async forceRefresh({ consumer, ref }) {
      const connection = await store.read(ref)
      if (!connection) throw notFound()
      requireAllowed(consumer, 'refresh', ref)
      const outcome = decide('forced_refresh', connection)
      if ('refuse' in outcome) {
        if (outcome.refuse === 'ERR_DISCONNECTED') throw disconnected()
        throw new BrokerError(outcome.refuse, 'Nobody has connected this yet; there is nothing to refresh.')
      }
      const result = await refresh(connection, {
        share: 'admin',
        forced: true,
        satisfied: (current) => current.generation !== connection.generation,
        actor: consumer.name
      })
      if (!result.connection) throw notFound()
      if (result.connection.generation === connection.generation) {
        // It ended meanwhile, or this very try was the second strike: that is the answer, not "repeat".
        if (result.connection.status !== connection.status) admit({ ...result.connection, quarantined: false })
        throw (
          result.stopped ??
          new BrokerError('ERR_BUSY', 'The connection changed meanwhile; look at it, then repeat.', {
            retryAfterMs: 1000
          })
        )
      }
      return result.connection
    }
  }
}

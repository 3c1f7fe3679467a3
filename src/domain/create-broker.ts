import type { App } from './app.ts'
import type { Broker } from './broker.ts'
import { decide } from './connection.ts'
import { BrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { ImportGrant } from './import-grant.ts'
import { disconnected, forbidden, type Issue, notFound } from './issue.ts'
import { type Action, type Consumer, judge, mayInTenant } from './policy.ts'
import type { ConnectionStore } from './ports.ts'
import type { Refresh } from './refresh.ts'

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
      require(consumer, 'read', ref)
      return connection
    },

    async list({ consumer, tenant, after, limit }) {
      if (!mayInTenant(consumer, 'read', tenant)) return { items: [] }
      const page = await store.list(tenant, { limit, ...(after !== undefined && { after }) })
      return { ...page, items: page.items.filter(({ ref }) => judge(consumer, 'read', ref) === 'allowed') }
    },

    async importGrant({ consumer, ref, app: appName, dataCenter, refreshToken }) {
      require(consumer, 'connect', ref)
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
      require(consumer, 'refresh', ref)
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

  function require(consumer: Consumer, action: Action, ref: ConnectionRef): void {
    const verdict = judge(consumer, action, ref)
    if (verdict === 'hidden') throw notFound()
    if (verdict === 'forbidden') throw forbidden(action)
  }
}

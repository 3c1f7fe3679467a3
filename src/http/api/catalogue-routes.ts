import type { FastifyInstance } from 'fastify'
import type { App } from '../../domain/app.ts'
import type { DataCenter } from '../../domain/data-center.ts'
import { BrokerError } from '../../domain/errors.ts'
import { mayEverywhere } from '../../domain/policy.ts'
import { consumerOf } from '../consumer-auth.ts'
import { appView } from '../replies.ts'
import { AppList, DataCenterList, NoQuery } from '../schemas.ts'
import { COMMON } from './problem-codes.ts'

/** What is configured. */
export interface CatalogueDeps {
  readonly apps: ReadonlyMap<string, App>
  readonly dataCenters: ReadonlyMap<string, DataCenter>
}

/** What is configured, without secrets, for consumers that may read everything. */
export async function catalogueRoutes(scope: FastifyInstance, { apps, dataCenters }: CatalogueDeps): Promise<void> {
  scope.addHook('onRequest', (request, _reply, done) => {
    if (mayEverywhere(consumerOf(request), 'read')) done()
    else done(new BrokerError('ERR_FORBIDDEN', 'This needs the action "read" on all tenants and connections.'))
  })

  scope.get(
    '/v1/apps',
    {
      schema: {
        operationId: 'listApps',
        tags: ['catalogue'],
        summary: 'List the apps',
        description: 'The configured apps without their secrets.',
        querystring: NoQuery,
        response: { 200: AppList }
      },
      config: { problems: COMMON }
    },
    () => Promise.resolve({ apps: [...apps.values()].map(appView) })
  )

  scope.get(
    '/v1/data-centers',
    {
      schema: {
        operationId: 'listDataCenters',
        tags: ['catalogue'],
        summary: 'List the data centers',
        description: 'The closed table of data centers and their origins.',
        querystring: NoQuery,
        response: { 200: DataCenterList }
      },
      config: { problems: COMMON }
    },
    () => Promise.resolve({ data_centers: [...dataCenters.values()] })
  )
}

import { addApi } from './api/api-server.ts'
import { createServer } from './base-server.ts'
import { openapiYaml } from './openapi.ts'

const never = async (): Promise<never> => {
  throw new Error('this server only describes itself')
}

/** `openapi.yaml` from the routes themselves, without a store, a config or a listener. */
export async function renderOpenapi(): Promise<string> {
  const app = createServer({ onServerError: () => {}, trustProxy: [] })
  await addApi(app, {
    broker: { issue: never, rejected: never, read: never, list: never, importGrant: never, forceRefresh: never },
    grantAdmin: {
      createLink: never,
      links: never,
      revokeLink: never,
      flow: never,
      confirm: never,
      quarantine: never,
      liftQuarantine: never,
      disconnect: never
    },
    publicUrl: 'https://connect.example.com',
    consumers: new Map(),
    apps: new Map(),
    dataCenters: new Map(),
    clock: { now: () => 0 },
    fingerprint: () => '',
    recordHandOut: () => {},
    recordRefusal: () => {},
    tokenLimit: { perSecond: 1, burst: 1 },
    adminLimit: { perMinute: 1, limiter: undefined, prefix: '' }
  })
  await app.ready()
  const text = openapiYaml(app)
  await app.close()
  return text
}

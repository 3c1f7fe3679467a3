import { connectAsPerson } from './demo-person.ts'
import type { Stage } from './demo-stage.ts'

/** One HTTP answer, read whole. */
export interface Answer {
  readonly status: number
  readonly retryAfterSeconds: number
  // biome-ignore lint/suspicious/noExplicitAny: the demo reads foreign JSON by name
  readonly body: any
}

const CUSTOMER = { user: 'anna', dataCenter: 'eu' }
const CONNECTION = '/v1/tenants/acme/connections/desk'

/** The calls of the demo: as a service, as an admin, as the product behind the token, and as Zoho's customer. */
export function createCalls({ broker, simulator, keys }: Stage) {
  const asService = (method: string, path: string, body?: unknown) =>
    call(broker.api + path, method, keys.service, body)
  const asAdmin = (method: string, path: string, body?: unknown) => call(broker.api + path, method, keys.admin, body)
  const control = async (name: string, body: unknown) =>
    expectStatus(await call(`${simulator.control}/${name}`, 'POST', undefined, body), 200).body

  return {
    /** What a service does at 3 a.m.: one call. */
    token: () => asService('POST', `${CONNECTION}/token`),
    rejected: (generation: number) => asService('POST', `${CONNECTION}/token/rejected`, { generation }),
    connection: () => asAdmin('GET', CONNECTION),
    /** The address that an admin gives to the customer. */
    connectLink: async (): Promise<string> =>
      expectStatus(await asAdmin('POST', `${CONNECTION}/connect-links`, { app: 'desk', tenant_label: 'Acme Ltd' }), 201)
        .body.url,
    disconnect: () => asAdmin('DELETE', CONNECTION),
    /** The product's API with the token that was handed out. */
    resource: async (token: Answer['body']): Promise<Answer> =>
      read(
        await fetch(`${token.origins.desk}/api/v1/organizations`, {
          headers: { authorization: `${token.token_type} ${token.access_token}` }
        })
      ),
    consent: (linkUrl: string) => connectAsPerson(linkUrl, simulator.control, CUSTOMER),
    accessLifeSeconds: (seconds: number) => control('set-knobs', { access_life_ms: seconds * 1000 }),
    /** Whoever consented takes it back at Zoho. */
    removeApp: async () => {
      const [grant] = (await control('list-grants', { state: 'live' })).grants
      await control('remove-connected-app', { data_center: grant.data_center, user: grant.user })
    },
    liveGrants: async (): Promise<number> => (await control('list-grants', { state: 'live' })).grants.length,
    upstreamRefreshes: async (): Promise<number> => (await control('count-calls', { path: '/oauth/v2/token' })).count
  }
}

/** Throws a sentence when the answer has another status. */
export function expectStatus(answer: Answer, status: number): Answer {
  if (answer.status === status) return answer
  const said = answer.body?.code ?? answer.body?.error ?? ''
  throw new Error(`expected ${status}, got ${answer.status} ${said}`)
}

async function call(url: string, method: string, key: string | undefined, body?: unknown): Promise<Answer> {
  return read(
    await fetch(url, {
      method,
      headers: {
        ...(key && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' })
      },
      ...(body !== undefined && { body: JSON.stringify(body) })
    })
  )
}

async function read(response: Response): Promise<Answer> {
  const text = await response.text()
  return {
    status: response.status,
    retryAfterSeconds: Number(response.headers.get('retry-after') ?? 0),
    body: response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text
  }
}

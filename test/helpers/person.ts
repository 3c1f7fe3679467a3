import { type Answer, call } from './calls.ts'
import type { Stage } from './stage.ts'

/** What an admin may ask of a link. */
export interface LinkBody {
  readonly app?: string
  readonly [option: string]: unknown
}

/** A person with a browser of its own: it keeps the cookie, and everything secret that passes is scanned for later. */
export interface Person {
  cookie: string | undefined
  open(url: string): Promise<Answer>
  /** The button. Gives the address of Zoho's consent page. */
  press(url: string): Promise<string>
  /** Consents (or not) at Zoho. Gives the address of our callback. */
  decide(
    authorizeUrl: string,
    options?: { decision?: 'accept' | 'reject'; dataCenter?: string; user?: string }
  ): Promise<string>
  /** Follows Zoho's redirect to us, without following ours. */
  comeBack(callbackUrl: string): Promise<Answer>
  /** All of it, to the result page. */
  connect(url: string, options?: Parameters<Person['decide']>[1]): Promise<Answer>
}

/** The admin's side: a link for a connection of tenant `acme`. */
export async function makeLink(
  stage: Stage,
  connection: string,
  body: LinkBody = {}
): Promise<{ url: string; link_id: string; expires_at: string }> {
  const answer = await stage.api('POST', `/v1/tenants/acme/connections/${connection}/connect-links`, {
    as: 'admin',
    body: { app: 'desk', ...body }
  })
  if (answer.status !== 201) throw new Error(`link: ${answer.status} ${answer.text}`)
  // The link is told to the admin in this one body; anywhere else it would be a leak.
  const token = answer.body.url.split('/').at(-1)
  for (const body of stage.seen.bodies) body[1] = body[1].replaceAll(token, '')
  stage.seen.secrets.push(token)
  return answer.body
}

/** A new browser. */
export function createPerson(stage: Stage, defaults: { dataCenter?: string; user?: string } = {}): Person {
  const record = (what: string, answer: Answer, known: string) =>
    stage.seen.bodies.push([`${what} ${answer.status}`, answer.text.replaceAll(known, '')])

  const person: Person = {
    cookie: undefined,

    async open(url) {
      const answer = await call('GET', url, { ...(person.cookie && { headers: { cookie: person.cookie } }) })
      record('GET page', answer, url.split('/').at(-1) as string)
      return answer
    },

    async press(url) {
      const answer = await call('POST', url, {
        body: '',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          origin: new URL(url).origin,
          ...(person.cookie && { cookie: person.cookie })
        }
      })
      const location = answer.headers.location
      if (answer.status !== 303 || typeof location !== 'string')
        throw new Error(`button: ${answer.status} ${answer.text}`)
      const set = answer.headers['set-cookie']?.[0]?.split(';')[0]
      if (set) person.cookie = set
      stage.seen.secrets.push(
        person.cookie?.split('=')[1] as string,
        new URL(location).searchParams.get('state') as string
      )
      return location
    },

    async decide(
      authorizeUrl,
      { decision = 'accept', dataCenter = defaults.dataCenter ?? 'us', user = defaults.user ?? 'ada' } = {}
    ) {
      const { location } = await stage.simulator.control.consent({
        authorize_url: authorizeUrl,
        user,
        data_center: dataCenter,
        decision
      })
      return location
    },

    async comeBack(callbackUrl) {
      const answer = await call('GET', callbackUrl, { ...(person.cookie && { headers: { cookie: person.cookie } }) })
      record('GET callback', answer, '-')
      return answer
    },

    async connect(url, options) {
      const answer = await person.comeBack(await person.decide(await person.press(url), options))
      if (answer.status !== 303) return answer
      return person.open(new URL(answer.headers.location as string, url).href)
    }
  }
  return person
}

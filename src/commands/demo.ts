import { parseArgs } from 'node:util'
import { type Answer, createCalls, expectStatus } from './demo-calls.ts'
import { openStage, type Stage } from './demo-stage.ts'
import type { CommandIo } from './io.ts'

const USAGE = `Usage: zoho-token-broker demo [--once]

Finds or gets a Redis, starts a simulator of Zoho and the broker in front of it, and shows the life of a grant.
Stays up afterwards, so that you can try it yourself.

  --once  exit after the last step: 0 only if every step held
  --help
`

/** Long enough to see, short enough to wait for. */
const TOKEN_LIFE_SECONDS = 8
const ASK_AT_ONCE = 200
const CLICK_WITHIN_S = 60

type Say = (line: string) => void
type Calls = ReturnType<typeof createCalls>

/** `demo`: exit 0 when every step held, else 1. */
export async function demoCommand(argv: string[], { stdout, stderr, environment }: CommandIo): Promise<number> {
  const flags = readFlags(argv)
  if (!flags) {
    stderr.write(USAGE)
    return 2
  }
  if (flags.help) {
    stdout.write(USAGE)
    return 0
  }
  const say = (line: string) => void stdout.write(`${line}\n`)
  const stopped = untilSignal()
  const names = ['REDIS_URL', 'PATH', 'DOCKER_HOST', 'HOME', 'XDG_RUNTIME_DIR']
  const env = Object.fromEntries(names.map((name) => [name, environment.get(name)]))
  let stage: Stage | undefined
  try {
    stage = await openStage({ env, say })
    await play(stage, say, !flags.once)
    say(`\nEvery step held. Redis was ${stage.redis}.`)
    if (!flags.once) {
      // The story ended with a disconnect; what is shown now is to end in a token.
      const calls = createCalls(stage)
      await calls.consent(await calls.connectLink())
      invite(stage, say)
      await stopped
    }
    return 0
  } catch (error) {
    say(`\nThe demo failed: ${error instanceof Error ? error.message : error}`)
    return 1
  } finally {
    await stage?.close()
  }
}

function readFlags(argv: string[]) {
  try {
    return parseArgs({ args: argv, options: { once: { type: 'boolean' }, help: { type: 'boolean' } } }).values
  } catch {
    return undefined
  }
}

async function play(stage: Stage, say: Say, waitForPerson: boolean): Promise<void> {
  const calls = createCalls(stage)
  const step = createSteps(say)
  await calls.accessLifeSeconds(TOKEN_LIFE_SECONDS)

  const link = await step('An admin makes a connect link for the tenant Acme', () => calls.connectLink())
  await step('The customer opens it, sees who asks for what, and consents at Zoho', async () => {
    if (waitForPerson && (await clicked(calls, link, say))) return
    await calls.consent(link)
  })
  const view = expectStatus(await calls.connection(), 200).body
  say(`    ${view.status}, app ${view.app}, data center ${view.data_center}, scopes ${view.scopes.granted.join(' ')}`)

  const first = await step(
    'A service asks for a token: one call',
    async () => expectStatus(await calls.token(), 200).body
  )
  say(`    ${redacted(first)}`)
  await step("It calls the product's API with it", async () => expectStatus(await calls.resource(first), 200))

  const before = await calls.upstreamRefreshes()
  await step(
    `The token lives ${TOKEN_LIFE_SECONDS} s here (an hour at Zoho); the broker refreshes it before anybody asks`,
    () => untilRefreshed(calls, first.generation, say)
  )
  const fresh = await step(`${ASK_AT_ONCE} requests at once: one token for all, and one refresh at Zoho`, async () => {
    const answers = await Promise.all(Array.from({ length: ASK_AT_ONCE }, () => calls.token()))
    const generations = new Set(answers.map((answer) => expectStatus(answer, 200).body.generation))
    const refreshes = (await calls.upstreamRefreshes()) - before
    if (generations.size !== 1 || refreshes !== 1)
      throw new Error(`${refreshes} refreshes, ${generations.size} generations`)
    return answers[0]?.body
  })
  say(`    ${redacted(fresh)}`)
  await calls.accessLifeSeconds(3600)

  await calls.removeApp()
  await step('The customer removes the app at Zoho: the product refuses the token', async () =>
    expectStatus(await calls.resource(fresh), 401)
  )
  const ended = await step(
    'The service reports it; Zoho refuses the grant twice, a second apart, before the broker believes it',
    () => untilRefused(() => calls.rejected(fresh.generation))
  )
  say(`    ${ended.status} ${ended.body.code}: ${ended.body.detail}`)

  await step('The admin makes another link, the customer consents again: healed', async () => {
    await calls.consent(await calls.connectLink())
    expectStatus(await calls.resource(expectStatus(await calls.token(), 200).body), 200)
  })
  const last = expectStatus(await calls.token(), 200).body
  await step('The admin disconnects: nothing is issued from now on, and the grant is revoked at Zoho', async () => {
    expectStatus(await calls.disconnect(), 202)
    const refused = expectStatus(await calls.token(), 410)
    say(`    ${refused.status} ${refused.body.code}`)
    await until('the grant is revoked', async () => (await calls.liveGrants()) === 0)
    expectStatus(await calls.resource(last), 401)
  })
}

/** Whether a person used the link. Waits a while only. */
async function clicked(calls: Calls, link: string, say: Say): Promise<boolean> {
  say(`    Open this in a browser, or wait ${CLICK_WITHIN_S} s and the demo does it:\n\n      ${link}\n`)
  const isActive = async () => (await calls.connection()).body.status === 'active'
  return until('the connection is active', isActive, CLICK_WITHIN_S * 1000).then(
    () => true,
    () => false
  )
}

async function untilRefreshed(calls: Calls, generation: number, say: Say): Promise<void> {
  const started = performance.now()
  let told = 0
  await until('the token is refreshed', async () => {
    const seconds = Math.floor((performance.now() - started) / 1000)
    if (seconds >= told + 2) {
      told = seconds
      say(`    ${seconds} s`)
    }
    return (await calls.connection()).body.generation > generation
  })
}

async function until(what: string, fact: () => Promise<boolean>, withinMs = 20_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await fact())) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function createSteps(say: Say) {
  let number = 0
  return async <T>(what: string, run: () => Promise<T>): Promise<T> => {
    say(`\n${++number}. ${what}`)
    const started = performance.now()
    const result = await run()
    say(`    ok, ${Math.round(performance.now() - started)} ms`)
    return result
  }
}

async function untilRefused(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 0; tries < 5; tries++) {
    const answer = await ask()
    if (answer.body?.code === 'ERR_RECONNECT_REQUIRED') return answer
    expectStatus(answer, 503)
    await new Promise((resolve) => setTimeout(resolve, answer.retryAfterSeconds * 1000))
  }
  throw new Error('the broker never said that a reconnect is required')
}

function redacted(token: Answer['body']): string {
  return `access_token ${token.access_token.slice(0, 5)}…, generation ${token.generation}, expires in ${token.expires_in} s, ${token.data_center}, ${token.health}`
}

function invite({ broker, simulator, keys }: Stage, say: Say): void {
  say(`
Connected again, so that you can try it yourself (Ctrl-C ends everything). The API keys live as long as this demo:

  API_KEY=${keys.service} OPS_KEY=${keys.admin}
  curl -X POST -H "Authorization: Bearer $API_KEY" ${broker.api}/v1/tenants/acme/connections/desk/token

  a connect link:      curl -X POST -H "Authorization: Bearer $OPS_KEY" -H 'Content-Type: application/json' \\
                         --data '{"app":"desk"}' ${broker.api}/v1/tenants/acme/connections/desk/connect-links
  an admin's look:     curl -H "Authorization: Bearer $OPS_KEY" ${broker.api}/v1/tenants/acme/connections
  the API document:    ${broker.api}/openapi.yaml
  metrics, readiness:  ${broker.management}/metrics  ${broker.management}/readyz
  Zoho's side:         ${simulator.control}/ (grants, tokens, switches)`)
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
  })
}

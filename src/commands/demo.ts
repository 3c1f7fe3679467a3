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

/** `demo`: exit 0 when every step held, else 1. */
export async function demoCommand(argv: string[], { stdout, environment }: CommandIo): Promise<number> {
  const { values: flags } = parseArgs({ args: argv, options: { once: { type: 'boolean' }, help: { type: 'boolean' } } })
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
    await play(stage, say)
    say(`\nEvery step held. Redis was ${stage.redis}.`)
    if (!flags.once) {
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

async function play(stage: Stage, say: (line: string) => void): Promise<void> {
  const calls = createCalls(stage)
  const step = createSteps(say)
  await calls.accessLifeSeconds(TOKEN_LIFE_SECONDS)

  const imported = await step(
    'A customer of the EU data center consents; an admin imports the grant, verified by a real refresh',
    async () => expectStatus(await calls.importGrant(await calls.consent()), 201).body
  )
  say(`    ${imported.status}, app ${imported.app}, scopes ${imported.scopes.granted.join(' ')}`)

  const first = await step(
    'A service asks for a token: one call',
    async () => expectStatus(await calls.token(), 200).body
  )
  say(`    ${redacted(first)}`)

  await step("It calls the product's API with it", async () => expectStatus(await calls.resource(first), 200))

  await step(`The token lives ${TOKEN_LIFE_SECONDS} s here (an hour at Zoho); we wait until it wants a refresh`, () =>
    countDown(Date.parse(first.expires_at), say)
  )
  const before = await calls.upstreamRefreshes()
  const fresh = await step(
    `${ASK_AT_ONCE} requests at once for the expired token: one refresh at Zoho, one new token for all`,
    async () => {
      const answers = await Promise.all(Array.from({ length: ASK_AT_ONCE }, () => calls.token()))
      const generations = new Set(answers.map((answer) => expectStatus(answer, 200).body.generation))
      const refreshes = (await calls.upstreamRefreshes()) - before
      if (generations.size !== 1 || refreshes !== 1)
        throw new Error(`${refreshes} refreshes, ${generations.size} generations`)
      return answers[0]?.body
    }
  )
  say(`    ${redacted(fresh)}`)
  await step('The new token works', async () => expectStatus(await calls.resource(fresh), 200))

  await calls.removeApp()
  await step('The customer removes the app at Zoho: the product refuses the token', async () =>
    expectStatus(await calls.resource(fresh), 401)
  )
  const ended = await step(
    'The service reports it; Zoho refuses the grant twice, a second apart, before the broker believes it',
    () => untilRefused(() => calls.rejected(fresh.generation))
  )
  say(`    ${ended.status} ${ended.body.code}: ${ended.body.detail}`)

  await step('The customer consents again, the admin imports the new grant: healed', async () => {
    expectStatus(await calls.importGrant(await calls.consent()), 200)
    expectStatus(await calls.resource(expectStatus(await calls.token(), 200).body), 200)
  })
  await calls.accessLifeSeconds(3600)
}

function createSteps(say: (line: string) => void) {
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

async function countDown(until: number, say: (line: string) => void): Promise<void> {
  for (let left = until - Date.now(); left > 0; left = until - Date.now()) {
    say(`    ${Math.ceil(left / 1000)} s left`)
    await new Promise((resolve) => setTimeout(resolve, Math.min(2000, left)))
  }
}

function redacted(token: Answer['body']): string {
  return `access_token ${token.access_token.slice(0, 5)}…, generation ${token.generation}, expires in ${token.expires_in} s, ${token.data_center}, ${token.health}`
}

function invite({ broker, simulator, keys }: Stage, say: (line: string) => void): void {
  say(`
Try it yourself (Ctrl-C ends everything). The API keys live as long as this demo:

  curl -X POST -H 'Authorization: Bearer ${keys.service}' \\
    ${broker.api}/v1/tenants/acme/connections/desk/token

  an admin's look:     curl -H 'Authorization: Bearer ${keys.admin}' ${broker.api}/v1/tenants/acme/connections
  the API document:    ${broker.api}/openapi.yaml
  metrics, readiness:  ${broker.management}/metrics  ${broker.management}/readyz
  what Zoho was asked: ${simulator.control}/ledger`)
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
  })
}

import t from 'tap'
import { freePort } from '../../src/commands/redis-probe.ts'
import { runProgram } from '../helpers/program.ts'
import { testRedis } from '../helpers/redis.ts'

const WHOLE_TOKEN = /1000\.[0-9a-f]{32}\.[0-9a-f]{32}/
const NUMBERED = /^(\d+)\. .+/

/** What the demo has to show, in this order. Steps may come in between. */
const STORY = [
  /An admin makes a connect link/,
  /The customer opens it, .+ and consents at Zoho/,
  /A service asks for a token/,
  /calls the product's API/,
  /the broker refreshes it before anybody asks/,
  /requests at once: one token for all, and one refresh at Zoho/,
  /The customer removes the app at Zoho/,
  /Zoho refuses the grant twice/,
  /another link, the customer consents again: healed/,
  /The admin disconnects: nothing is issued .+ revoked at Zoho/
]

/** Each numbered line with the lines that follow it. */
function stepsOf(output: string): string[][] {
  const steps: string[][] = []
  for (const line of output.split('\n')) {
    if (NUMBERED.test(line)) steps.push([line])
    else if (line.startsWith('    ')) steps.at(-1)?.push(line)
  }
  return steps
}

t.test(
  'demo --once shows the whole life of a connection, says where Redis came from, and prints no token',
  async (t) => {
    const { url } = await testRedis(t)
    const { code, output } = await runProgram(['demo', '--once'], { REDIS_URL: url })
    t.equal(code, 0, output.split('\n').slice(-3).join(' '))

    const steps = stepsOf(output)
    t.same(
      steps.map(([line = '']) => Number(NUMBERED.exec(line)?.[1])),
      steps.map((_, i) => i + 1),
      'numbered without a gap'
    )
    for (const [title = '', ...lines] of steps) {
      t.ok(
        lines.some((line) => /^ {4}ok, \d+ ms$/.test(line)),
        `held: ${title}`
      )
    }
    let from = 0
    for (const part of STORY) {
      const at = steps.findIndex(([title = ''], i) => i >= from && part.test(title))
      t.ok(at >= from, `told in its place: ${part.source}`)
      from = Math.max(from, at + 1)
    }

    t.match(output, /^Redis: REDIS_URL \(/m, 'where Redis came from, before anything is done with it')
    t.match(output, /\nEvery step held\. Redis was REDIS_URL \(.+\)\.\n$/, 'and as its last line')
    t.match(output, / {4}active, app desk, data center eu, scopes Desk\.tickets\.READ Desk\.basic\.READ/)
    t.match(output, / {4}409 ERR_RECONNECT_REQUIRED: /)
    t.match(output, / {4}410 ERR_DISCONNECTED/)
    t.match(output, /access_token 1000\.…, generation \d+/, 'tokens are shown, redacted')
    t.notMatch(output, WHOLE_TOKEN)
    t.notMatch(output, 'connect/', 'no link that nobody is asked to open')
  }
)

t.test('demo with a REDIS_URL that does not answer exits 1 with a sentence that says what to do', async (t) => {
  const url = `redis://:pass-of-redis@127.0.0.1:${await freePort()}`
  const { code, output } = await runProgram(['demo', '--once'], { REDIS_URL: url })
  t.equal(code, 1)
  t.match(output, /^The demo failed: REDIS_URL cannot be used: .+\. Start that Redis, .+, or unset REDIS_URL\.$/m)
  t.notMatch(output, 'pass-of-redis')
  t.notMatch(output, /^ +at /m, 'no stack')
  t.same(stepsOf(output), [], 'nothing was tried')
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { countTap } from '../scripts/count-tap.ts'

const LAUNCHER = fileURLToPath(new URL('../scripts/node24.mjs', import.meta.url))

t.test('the launcher', async (t) => {
  const launch = (...args: string[]) => spawn(process.execPath, [LAUNCHER, ...args])

  t.test('runs the command under Node 24 or newer, with the tools of this project', async (t) => {
    const child = launch('node', '-p', 'process.versions.node')
    const [version] = await once(child.stdout, 'data')
    t.ok(Number.parseInt(String(version), 10) >= 24)
    t.match(await once(launch('biome', '--version'), 'exit'), [0])
  })

  t.test("ends with the command's code, or 128 + its signal", async (t) => {
    t.match(await once(launch('node', '-e', 'process.exit(7)'), 'exit'), [7])
    t.match(
      await once(launch('node', '-e', 'process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 9e6)'), 'exit'),
      [137]
    )
    t.match(await once(launch('no-such-command'), 'exit'), [127])
    t.match(await once(launch(), 'exit'), [2])
  })

  t.test('passes TERM on, and leaves an interrupt to the command', async (t) => {
    const script = `process.on('SIGTERM', () => process.exit(5)); console.log('ready'); setInterval(() => {}, 9e6)`
    const child = launch('node', '-e', script)
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    child.kill('SIGTERM')
    t.match(await once(child, 'exit'), [5])
  })

  t.test('is plain JavaScript without packages, since it runs before there are any', async (t) => {
    const imports = [...readFileSync(LAUNCHER, 'utf8').matchAll(/from '(.+)'/g)].map(([, name]) => name ?? '')
    t.ok(imports.length > 0)
    t.strictSame(
      imports.filter((name) => !name.startsWith('node:')),
      []
    )
  })
})

t.test('the totals', async (t) => {
  const lines = (...text: string[]) => `TAP version 14\n${text.join('\n')}\n`

  t.test('count assertions at every depth, and no test around them', async (t) => {
    const text = lines(
      'ok 1 - a',
      '# Subtest: b',
      '    ok 1 - c',
      '    # Subtest: d',
      '        ok 1 - e',
      '        1..1',
      '    ok 2 - d',
      '    1..2',
      'ok 2 - b',
      '1..2'
    )
    t.match(countTap(text), { passed: 3, failed: 0, skipped: 0 })
  })

  t.test('count what is skipped or to do once, also a whole subtest', async (t) => {
    const text = lines(
      'ok 1 - a # SKIP',
      'not ok 2 - b # TODO',
      '# Subtest: c',
      '    1..0 # SKIP why',
      'ok 3 - c # SKIP why',
      '1..3'
    )
    t.match(countTap(text), { passed: 0, failed: 0, skipped: 3 })
  })

  t.test('count a failure once and name it', async (t) => {
    const text = lines('# Subtest: a', '    not ok 1 - b', '    ok 2 - c', '    1..2', 'not ok 1 - a', '1..1')
    t.match(countTap(text), { passed: 1, failed: 1, skipped: 0, failures: [/^a > b/] })
  })

  t.test('count a subtest that failed without a failed assertion', async (t) => {
    const text = lines('# Subtest: a', '    ok 1 - b', '    1..1', 'not ok 1 - a', '1..1')
    t.match(countTap(text), { passed: 1, failed: 1, skipped: 0, failures: [/^a/] })
  })

  t.test('count a file that was killed, or said nothing, as one failure', async (t) => {
    const text = lines('ok 1 - a', '# Subtest: b', '    ok 1 - c')
    t.match(countTap(text), { passed: 2, failed: 1, failures: ['did not come to its end'] })
    t.match(countTap(''), { passed: 0, failed: 1 })
  })
})

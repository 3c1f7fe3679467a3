import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { EVENTS, STATUSES, TABLE } from '../../src/domain/connection.ts'
import { stateMachinePage } from '../../src/domain/state-machine-page.ts'

const PAGE = new URL('../../docs/state-machine.md', import.meta.url)

t.test('docs/state-machine.md is what the table says', async (t) => {
  if (process.env.UPDATE === '1') writeFileSync(PAGE, stateMachinePage())
  t.equal(readFileSync(PAGE, 'utf8'), stateMachinePage(), 'UPDATE=1 node test/domain/state-machine.test.ts rewrites it')
})

t.test('the page tells every change of status that the table makes', async (t) => {
  const page = stateMachinePage()
  for (const event of EVENTS) {
    for (const from of ['absent', ...STATUSES] as const) {
      const outcome = TABLE[event][from]
      if (!('to' in outcome) || outcome.to === 'same' || outcome.to === from) continue
      const arrow = `${from === 'absent' ? '[*]' : from} --> ${outcome.to}: `
      const line = page.split('\n').find((each) => each.trim().startsWith(arrow))
      t.ok(line?.includes(event), `${arrow}${event}`)
    }
  }
})

import { inspect } from 'node:util'
import { Parser } from 'tap-parser'

/** The test points of one TAP text that are leaves, and each failure in words. */
export interface TapTotals {
  passed: number
  failed: number
  skipped: number
  readonly failures: string[]
}

/**
 * Counts assertions, not the tests around them. A `todo` counts as skipped.
 * What failed without a failed assertion (killed, timed out, wrong plan) counts as one.
 */
export function countTap(text: string): TapTotals {
  const totals: TapTotals = { passed: 0, failed: 0, skipped: 0, failures: [] }
  const parser = new Parser()
  walk(parser, totals)
  parser.end(text)
  if ((!parser.results?.ok || text.trim() === '') && totals.failed === 0) {
    totals.failed = 1
    totals.failures.push('did not come to its end')
  }
  return totals
}

function walk(parser: Parser, totals: TapTotals): void {
  let before: TapTotals | undefined
  parser.on('child', (child: Parser) => {
    before = { ...totals }
    walk(child, totals)
  })
  parser.on('assert', (point) => {
    const kind = point.skip || point.todo ? 'skipped' : point.ok ? 'passed' : 'failed'
    // The point that sums up a subtest counts only where nothing within told the same.
    const tells = before === undefined || (kind !== 'passed' && totals[kind] === before[kind])
    before = undefined
    if (!tells) return
    totals[kind]++
    if (kind === 'failed') totals.failures.push(`${point.fullname}\n${inspect(point.diag, { depth: 5 })}`)
  })
}

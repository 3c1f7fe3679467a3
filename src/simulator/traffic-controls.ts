import type { Static } from '@sinclair/typebox'
import type { KnobChange, Release, Scope } from './control-inputs.ts'
import { fits, knownDataCenter } from './control-lookups.ts'
import type { Fault, Faults } from './faults.ts'
import type { Gate, Hold } from './gate.ts'
import type { Knobs } from './knobs.ts'
import type { Ledger, LedgerFilter } from './ledger.ts'

interface Deps {
  readonly origins: Readonly<Record<string, string>>
  readonly dataCenters: readonly string[]
  readonly knobs: Knobs
  readonly faults: Faults
  readonly gate: Gate
  readonly ledger: Ledger
  readonly secrets: ReadonlySet<string>
}

/** What happens between Zoho and its callers: knobs, faults, the gate, the ledger. */
export function createTrafficControls(deps: Deps) {
  const { origins, dataCenters, knobs, faults, gate, ledger, secrets } = deps
  const named = <T extends { data_center?: string }>(input: T): T => {
    if (input.data_center !== undefined) knownDataCenter(dataCenters, input.data_center)
    return input
  }

  return {
    /** Data center → origin. */
    listDataCenters: () => ({ data_centers: origins }),
    knobs: (): Knobs => ({ ...knobs }),
    setKnobs: (change: Static<typeof KnobChange>): Knobs => ({ ...Object.assign(knobs, change) }),
    setFault: (fault: Fault) => {
      faults.add(named(fault))
      return { faults: faults.list() }
    },
    listFaults: () => ({ faults: faults.list() }),
    clearFaults: (scope: Static<typeof Scope> = {}) => {
      faults.clear(named(scope).data_center)
      return { faults: faults.list() }
    },
    hold: (hold: Hold) => {
      gate.hold(named(hold))
      return { waiters: gate.waiters().length }
    },
    release: (input: Static<typeof Release> = {}) => ({
      released: gate.release(named(input).data_center, input.count)
    }),
    waiters: (scope: Static<typeof Scope> = {}) => {
      const waiters = gate.waiters().filter(fits(named(scope)))
      return { count: waiters.length, waiters }
    },
    ledger: (filter: LedgerFilter = {}) => {
      const entries = ledger.find(filter)
      return { count: entries.length, entries }
    },
    countCalls: (filter: LedgerFilter = {}) => ({ count: ledger.find(filter).length }),
    clearLedger: () => {
      ledger.clear()
      return {}
    },
    /** Every client secret, code and token that was ever made or configured, and every verifier received: in clear, for leak scans. */
    secrets: () => ({ secrets: [...secrets] })
  }
}

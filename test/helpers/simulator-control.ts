import { setTimeout as wait } from 'node:timers/promises'
import { CONTROL_INPUTS } from '../../src/simulator/control-inputs.ts'
import { controlPath } from '../../src/simulator/control-path.ts'
import type { Controls } from '../../src/simulator/controls.ts'
import type { LedgerFilter } from '../../src/simulator/ledger.ts'

/** Every control of the simulator, over HTTP. A refused call rejects with the simulator's sentence. */
export type ControlClient = {
  [Name in keyof Controls]: (...input: Parameters<Controls[Name]>) => Promise<ReturnType<Controls[Name]>>
}

/** A client for a simulator in this or another process. */
export function createControlClient(controlOrigin: string): ControlClient {
  const names = Object.keys(CONTROL_INPUTS)
  const call = (name: string) => async (input: unknown) => {
    const body = JSON.stringify(input ?? {})
    const response = await fetch(`${controlOrigin}${controlPath(name)}`, { method: 'POST', body })
    const answer = (await response.json()) as { error?: string }
    if (!response.ok) throw new Error(`${name}: ${answer.error}`)
    return answer
  }
  return Object.fromEntries(names.map((name) => [name, call(name)])) as unknown as ControlClient
}

/** Resolves when n calls wait at the gate of a data center; rejects after the deadline. */
export function untilHeld(control: ControlClient, dataCenter: string, n: number, deadlineMs = 10_000) {
  return until(`calls held in ${dataCenter}`, n, deadlineMs, () => control.waiters({ data_center: dataCenter }))
}

/** Resolves when the ledger holds n calls that fit the filter; rejects after the deadline. */
export function untilCalls(control: ControlClient, filter: LedgerFilter, n: number, deadlineMs = 10_000) {
  return until(`calls with ${JSON.stringify(filter)}`, n, deadlineMs, () => control.countCalls(filter))
}

async function until(what: string, n: number, deadlineMs: number, look: () => Promise<{ count: number }>) {
  const end = Date.now() + deadlineMs
  for (;;) {
    const { count } = await look()
    if (count >= n) return
    if (Date.now() > end) throw new Error(`There are ${count} ${what}, not ${n}.`)
    await wait(5)
  }
}

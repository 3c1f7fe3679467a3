import fc from 'fast-check'
import { Secret } from '../../src/domain/secret.ts'
import { createClients } from '../../src/redis/clients.ts'
import type { Teardown } from '../helpers/tcp-proxy.ts'
import { type Batch, batches, perform, sweep } from './commands.ts'
import { createInvariants } from './invariants.ts'
import { createWorld, type Lane, MINUTE, type Mutant, type World } from './world.ts'

/** Rounds of upkeep in the end: each lets back-offs, windows and deadlines pass. */
const LAST_ROUNDS = 6

/** Does the batches one after the other, each at once, and throws what was found broken. */
export async function runModel(lane: Lane, seed: number, all: readonly Batch[], mutant?: Mutant): Promise<void> {
  const world = createWorld(lane, seed, mutant)
  const invariants = createInvariants(world)
  try {
    for (const { leapMs, commands } of all) {
      if (leapMs > 0) await world.leap(leapMs)
      await Promise.race([Promise.all(commands.map((command) => perform(world, command))), world.rest()])
      await world.rest()
      world.revive()
      await invariants.check()
      if (world.violations.length > 0) break
    }
    if (world.violations.length === 0) await settle(world)
    if (world.violations.length === 0) await invariants.check()
    if (world.violations.length === 0) await invariants.checkEnd()
  } finally {
    await world.close()
  }
  if (world.violations.length > 0) throw new Error([...new Set(world.violations)].join('\n'))
}

/** No fault any more: Zoho answers, the sweep runs, time passes. */
async function settle(world: World): Promise<void> {
  world.zoho.calm()
  world.zoho.release()
  for (const { effects } of world.processes) effects.calm()
  await world.rest()
  for (let round = 0; round < LAST_ROUNDS; round++) {
    await world.leap(11 * MINUTE)
    for (const process of world.processes) {
      await world.run(process, 'the last sweep', () => sweep(world, process))
      const kicked = [...world.kicked.values()]
      world.kicked.clear()
      for (const ref of kicked) await world.run(process, 'the last revoke', () => process.parts.revokeDue(ref))
    }
    await world.rest()
  }
}

/** Clients for runs side by side, so that one waits while another works. */
export async function openLanes(t: Teardown, url: string, count: number): Promise<Lane[]> {
  const open = async () => {
    const clients = createClients({ target: { kind: 'single', url: new Secret(url) } })
    t.teardown(() => clients.close(500))
    await clients.ready()
    return clients
  }
  return Promise.all(
    Array.from({ length: count }, async () => ({
      processes: await Promise.all([open(), open()]),
      observer: await open()
    }))
  )
}

export interface ModelOptions {
  readonly runs: number
  readonly seed: number
  readonly mutant?: Mutant
  /** Shrinking repeats runs: for people, not for mutants. */
  readonly shrink?: boolean
}

/** Runs the model in every lane. Gives the report of what failed first, with seed and path; undefined: nothing did. */
export async function checkModel(lanes: readonly Lane[], options: ModelOptions): Promise<string | undefined> {
  let report: string | undefined
  await Promise.all(
    lanes.map(async (lane, index) => {
      const property = fc.asyncProperty(fc.integer(), batches, async (seed, all) => {
        // Another lane has found it: the rest is not worth its time.
        if (report === undefined) await runModel(lane, seed, all, options.mutant)
      })
      const details = await fc.check(property, {
        numRuns: Math.ceil(options.runs / lanes.length),
        seed: options.seed + index,
        endOnFailure: options.shrink !== true
      })
      if (!details.failed) return
      const { message } = details.errorInstance as Error
      const found = fc.stringify(details.counterexample)
      report ??= `${message}\n{ seed: ${details.seed}, path: "${details.counterexamplePath}" }\n${found}`
    })
  )
  return report
}

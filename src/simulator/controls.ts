import { createClientControls } from './client-controls.ts'
import type { Route } from './endpoint.ts'
import type { Faults } from './faults.ts'
import type { Gate } from './gate.ts'
import { createGrantControls } from './grant-controls.ts'
import type { Ledger } from './ledger.ts'
import type { Parts } from './routes.ts'
import { createTrafficControls } from './traffic-controls.ts'
import { createUserControls } from './user-controls.ts'

interface Deps extends Parts {
  readonly dataCenters: readonly string[]
  /** Scopes of a grant that names none. */
  readonly scopes: readonly string[]
  readonly routes: ReadonlyMap<string, Route>
  readonly faults: Faults
  readonly gate: Gate
  readonly ledger: Ledger
  readonly secrets: ReadonlySet<string>
}

/** What a test can do to the simulator. Throws ControlError. */
export type Controls = ReturnType<typeof createControls>

/** Binds the controls to the parts of one simulator. */
export function createControls(deps: Deps) {
  return {
    ...createUserControls(deps),
    ...createGrantControls(deps),
    ...createClientControls(deps),
    ...createTrafficControls(deps)
  }
}

import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.ts'
import { type ControlClient, createControlClient } from './simulator-control.ts'

/** A simulator in this process and the client for its control API. */
export interface TestSimulator {
  readonly simulator: Simulator
  readonly dataCenters: Simulator['dataCenters']
  readonly control: ControlClient
}

interface Test {
  teardown(close: () => Promise<void>): void
}

/** Starts a simulator on free ports that ends with the test. */
export async function createTestSimulator(t: Test, options: SimulatorOptions = {}): Promise<TestSimulator> {
  const simulator = await startSimulator(options)
  t.teardown(() => simulator.close())
  return { simulator, dataCenters: simulator.dataCenters, control: createControlClient(simulator.control) }
}

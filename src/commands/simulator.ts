import { parseArgs } from 'node:util'
import { type Simulator, startSimulator } from '../simulator/server.ts'

const USAGE = `Usage: zoho-token-broker simulator [options]

Runs a simulator of Zoho with two data centers on loopback ports, until SIGTERM or SIGINT.

  --port-us PORT      the US data center (default 4001; 0 for any)
  --port-eu PORT      the EU data center (default 4002)
  --control-port PORT the control API; GET / lists what it can do (default 4000)
  --client ID:SECRET  a client of the API console; may be given again (default: one is made up)
  --help
`

/** `simulator`: prints its addresses as one JSON line and runs until a signal. Bad flags or taken ports: exit 1. */
export async function simulatorCommand(argv: string[]): Promise<number> {
  let simulator: Simulator
  try {
    const { help, ...flags } = readFlags(argv)
    if (help) {
      process.stdout.write(USAGE)
      return 0
    }
    simulator = await startSimulator({
      dataCenters: { us: portOf('port-us', flags['port-us']), eu: portOf('port-eu', flags['port-eu']) },
      controlPort: portOf('control-port', flags['control-port']),
      clients: flags.client?.map(clientOf)
    })
  } catch (error) {
    process.stderr.write(`simulator: ${error instanceof Error ? error.message : 'failed'}\n`)
    return 1
  }
  const stopped = signal()
  const { dataCenters, control } = simulator
  process.stdout.write(`${JSON.stringify({ simulator: { data_centers: dataCenters, control } })}\n`)
  await stopped
  await simulator.close()
  return 0
}

function readFlags(argv: string[]) {
  return parseArgs({
    args: argv,
    options: {
      'port-us': { type: 'string', default: '4001' },
      'port-eu': { type: 'string', default: '4002' },
      'control-port': { type: 'string', default: '4000' },
      client: { type: 'string', multiple: true },
      help: { type: 'boolean', default: false }
    }
  }).values
}

function portOf(flag: string, value: string): number {
  const port = Number(value)
  if (/^\d+$/.test(value) && port <= 65_535) return port
  throw new Error(`--${flag} must be a port from 0 to 65535.`)
}

function clientOf(value: string) {
  const colon = value.indexOf(':')
  // The value holds a secret, so the message does not repeat it.
  if (colon < 1 || colon === value.length - 1) throw new Error('--client must be ID:SECRET.')
  return { id: value.slice(0, colon), secret: value.slice(colon + 1) }
}

function signal(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve())
  })
}

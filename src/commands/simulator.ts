import { parseArgs } from 'node:util'
import { type Simulator, startSimulator } from '../simulator/server.ts'

const USAGE = `Usage: zoho-token-broker simulator [options]

Runs a simulator of Zoho on loopback ports, until SIGTERM or SIGINT.

  --data-center KEY:PORT  a data center; may be given again; port 0 for any (default: us:4001 and eu:4002)
  --port-us PORT          short for --data-center us:PORT
  --port-eu PORT          short for --data-center eu:PORT
  --control-port PORT     the control API and, for browsers, its page (default 4000)
  --client ID:SECRET      a client of the API console; may be given again (default: one is made up)
  --redirect-uri URI      a redirect URI of the clients; may be given again (default: any loopback …/oauth/callback)
  --help
`

/** `simulator`: prints its addresses as one JSON line and runs until a signal. Bad flags or taken ports: exit 1. */
export async function simulatorCommand(argv: string[]): Promise<number> {
  let simulator: Simulator
  try {
    const flags = readFlags(argv)
    if (flags.help) {
      process.stdout.write(USAGE)
      return 0
    }
    simulator = await startSimulator({
      dataCenters: dataCentersOf(flags),
      controlPort: portOf('--control-port', flags['control-port']),
      clients: flags.client?.map(clientOf),
      redirectUris: flags['redirect-uri']
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
      'data-center': { type: 'string', multiple: true },
      'port-us': { type: 'string' },
      'port-eu': { type: 'string' },
      'control-port': { type: 'string', default: '4000' },
      client: { type: 'string', multiple: true },
      'redirect-uri': { type: 'string', multiple: true },
      help: { type: 'boolean', default: false }
    }
  }).values
}

/** Without `--data-center` there are us and eu; the shorthands move or add theirs. */
function dataCentersOf(flags: ReturnType<typeof readFlags>): Record<string, number> {
  const ports = new Map<string, number>()
  for (const value of flags['data-center'] ?? ['us:4001', 'eu:4002']) {
    const [, key, port] = /^([a-z][a-z0-9-]*):(\d+)$/.exec(value) ?? []
    if (!key || !port) throw new Error('--data-center must be KEY:PORT, as in us:4001.')
    if (ports.has(key)) throw new Error(`--data-center ${key} is given twice.`)
    ports.set(key, portOf('--data-center', port))
  }
  for (const key of ['us', 'eu'] as const) {
    const port = flags[`port-${key}`]
    if (port !== undefined) ports.set(key, portOf(`--port-${key}`, port))
  }
  return Object.fromEntries(ports)
}

function portOf(flag: string, value: string): number {
  const port = Number(value)
  if (/^\d+$/.test(value) && port <= 65_535) return port
  throw new Error(`${flag} must have a port from 0 to 65535.`)
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

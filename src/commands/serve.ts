import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import { createProgram, type Program } from '../compose.ts'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/faults.ts'
import { loadConfig } from '../config/load.ts'
import type { CommandIo } from './io.ts'
import { version } from './version.ts'

const USAGE = `Usage: zoho-token-broker serve [--config FILE] [--role api|worker|all]

Runs the broker until SIGTERM or SIGINT, then drains and exits.

  --config FILE  the configuration (default: BROKER_CONFIG)
  --role ROLE    what this process does (default: all)
  --help
`

/** `serve`: exit 1 for a bad configuration or a taken address; otherwise runs until a signal and exits 0 after draining. */
export async function serveCommand(argv: string[], io: CommandIo): Promise<number | undefined> {
  const started = performance.now()
  let config: Config
  let program: Program
  try {
    const flags = readFlags(argv, io)
    if (flags.help) {
      io.stdout.write(USAGE)
      return 0
    }
    config = await loadConfig({ path: flags.config, environment: io.environment })
    program = await createProgram({ config, role: flags.role, version: await version(), debug: io.environment.debug })
  } catch (error) {
    io.stderr.write(`${error instanceof ConfigError || error instanceof Error ? error.message : 'failed to start'}\n`)
    return 1
  }
  const { log } = program.observer
  closeWithGrace({ delay: config.shutdown.deadlineMs, logger: false }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'stopping after an error that nobody caught')
    else log.info({ signal }, 'draining')
    await program.close()
  })
  try {
    const listening = await program.start()
    log.info({ listening, ms: Math.round(performance.now() - started) }, 'listening')
    return undefined
  } catch (error) {
    io.stderr.write(`${error instanceof Error ? error.message : 'failed to listen'}\n`)
    await program.close()
    return process.exit(1)
  }
}

function readFlags(argv: string[], { environment }: CommandIo) {
  const { values } = parseArgs({
    args: argv,
    options: {
      config: { type: 'string' },
      role: { type: 'string', default: 'all' },
      help: { type: 'boolean', default: false }
    }
  })
  const { config = environment.configPath, role, help } = values
  if (role !== 'api' && role !== 'worker' && role !== 'all') throw new Error('--role must be api, worker or all.')
  if (config === undefined && !help) throw new Error('No configuration: give --config FILE or set BROKER_CONFIG.')
  return { config: config ?? '', role, help } as const
}

import { parseArgs } from 'node:util'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/faults.ts'
import { configJsonSchema } from '../config/json-schema.ts'
import { loadConfig } from '../config/load.ts'
import { type Command, EXIT_FAULT, EXIT_OK, EXIT_USAGE } from './io.ts'

const USAGE = `usage: zoho-token-broker check [--config FILE]    report every fault of the configuration (default: BROKER_CONFIG)
       zoho-token-broker check --schema           print the JSON Schema of the configuration
`
const OPTIONS = { config: { type: 'string' }, online: { type: 'boolean' }, schema: { type: 'boolean' } } as const

/** `check`: reads the configuration as `serve` would, and says what to register at Zoho. Touches no network. */
export const checkCommand: Command = async (argv, { stdout, stderr, environment }) => {
  const options = readOptions(argv)
  if (options?.schema) {
    stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
    return EXIT_OK
  }
  if (options?.online) {
    stderr.write('check --online is not built yet: leave it out to check the configuration alone.\n')
    return EXIT_USAGE
  }
  const path = options?.config ?? environment.configPath
  if (!options || path === undefined) {
    stderr.write(USAGE)
    return EXIT_USAGE
  }
  try {
    stdout.write(summarize(await loadConfig({ path, environment })))
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    stderr.write(`${error.message}\n`)
    return EXIT_FAULT
  }
}

function readOptions(argv: string[]) {
  try {
    return parseArgs({ args: argv, options: OPTIONS, strict: true }).values
  } catch {
    return undefined
  }
}

function summarize({ publicUrl, apps, consumers, listen }: Config): string {
  const lines = ['ok']
  for (const { name, product, dataCenters, startAt } of apps.values()) {
    lines.push(
      `app ${name} (${product})`,
      `  redirect URI to register at Zoho: ${publicUrl}/oauth/callback`,
      `  data centers: ${dataCenters.join(', ')}; consent starts at ${startAt}`
    )
  }
  lines.push(`consumers: ${consumers.map(({ name }) => name).join(', ')}`)
  for (const [name, { host, port }] of Object.entries(listen)) {
    lines.push(`listener ${name}: ${host.includes(':') ? `[${host}]` : host}:${port}`)
  }
  return `${lines.join('\n')}\n`
}

import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'
import { checkApps } from './apps.ts'
import { buildConfig } from './build.ts'
import { checkSettings } from './checks.ts'
import type { Config, LogLevel } from './config.ts'
import { decode } from './decode.ts'
import type { Environment } from './environment.ts'
import { ConfigError, createFaults, type Faults } from './faults.ts'
import { type Settings, SettingsSchema } from './schema.ts'
import { LOG_LEVELS } from './schema-operation.ts'

const FILE_MAX_BYTES = 1024 * 1024
const ALIASES_MAX = 100

/** Reads and checks a configuration file. Throws one `ConfigError` with every fault that it has. */
export async function loadConfig(input: { path: string; environment: Environment }): Promise<Config> {
  const path = resolve(input.path)
  const faults = createFaults()
  const raw = parseYaml(await readConfigFile(path), basename(path))
  const source = { directory: dirname(path), environment: input.environment }
  const settings = (await decode(SettingsSchema, raw, [], { source, faults })) as Settings
  checkSettings(settings, faults)
  checkApps(settings, faults)
  const logLevel = chooseLogLevel(settings, input.environment, faults)
  faults.throwIfAny()
  return buildConfig(settings, logLevel)
}

function chooseLogLevel(settings: Settings, { logLevel }: Environment, faults: Faults): LogLevel {
  const known = LOG_LEVELS.find((level) => level === logLevel)
  if (logLevel !== undefined && !known) faults.add(['LOG_LEVEL'], `must be one of ${LOG_LEVELS.join(', ')}`)
  return known ?? settings.log?.level
}

async function readConfigFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > FILE_MAX_BYTES) throw failure(basename(path), `is larger than ${FILE_MAX_BYTES} bytes`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw failure(basename(path), `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`)
  }
}

/** The plain value of a YAML text. Faults name a place and a kind: the parser's own sentences quote the text. */
function parseYaml(text: string, name: string): { [key: string]: unknown } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const problems = [...document.errors, ...document.warnings].map(({ code, pos }) => {
    const { line, col } = lines.linePos(pos[0])
    const problem = code === 'DUPLICATE_KEY' ? 'a key stands twice in one mapping' : `is not valid YAML (${code})`
    return { path: `${name}:${line}:${col}`, problem }
  })
  if (problems.length > 0) throw new ConfigError(problems)
  const value = toPlain(document, name)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw failure(name, 'is not a mapping of settings')
  return value as { [key: string]: unknown }
}

function toPlain(document: ReturnType<typeof parseDocument>, name: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX })
  } catch {
    throw failure(name, 'has aliases that are unresolved or too many')
  }
}

function failure(path: string, problem: string): ConfigError {
  return new ConfigError([{ path, problem }])
}

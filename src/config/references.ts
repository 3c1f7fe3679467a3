import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Environment } from './environment.ts'

/** `{ file: PATH }` or `{ env: NAME }` in place of a scalar. */
export type Reference = { readonly file: string } | { readonly env: string }

/** Where references lead: relative paths start at `directory`. */
export interface ReferenceSource {
  readonly directory: string
  readonly environment: Environment
}

/** A referenced text, or what is wrong with the reference. */
export type Resolved = { readonly text: string } | { readonly problem: string }

const FILE_MAX_BYTES = 64 * 1024

/** Whether `value` is a well-formed reference: one key, one text. */
export function isReference(value: object): value is Reference {
  const [entry, ...rest] = Object.entries(value)
  return entry !== undefined && rest.length === 0 && ['file', 'env'].includes(entry[0]) && typeof entry[1] === 'string'
}

/** Reads what a reference names. Never throws, and never repeats what it read. */
export async function resolveReference(reference: Reference, source: ReferenceSource): Promise<Resolved> {
  return 'file' in reference
    ? readText(reference.file, source.directory)
    : readVariable(reference.env, source.environment)
}

function readVariable(name: string, environment: Environment): Resolved {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name))
    return { problem: 'env must be the name of an environment variable' }
  const text = environment.get(name)
  return text === undefined ? { problem: `environment variable ${name} is not set or empty` } : { text }
}

async function readText(path: string, directory: string): Promise<Resolved> {
  const name = /^[^\p{Cc}]{1,512}$/u.test(path) ? path : JSON.stringify(path.slice(0, 64))
  try {
    const bytes = await readSmallFile(resolve(directory, path))
    if (bytes === undefined) return { problem: `file ${name} is not a file of at most 64 kB` }
    // Editors and `echo` end a file with a newline that is no part of the value.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '')
    return text === '' ? { problem: `file ${name} is empty` } : { text }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
    return code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
      ? { problem: `file ${name} is not UTF-8 text` }
      : { problem: `file ${name} cannot be read (${code})` }
  }
}

/** The bytes of a regular file; undefined for anything else or more. */
async function readSmallFile(path: string): Promise<Buffer | undefined> {
  // Non-blocking, so that a pipe without a writer cannot stop the start.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = await handle.stat()
    if (!stat.isFile() || stat.size > FILE_MAX_BYTES) return undefined
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

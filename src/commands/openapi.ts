import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { renderOpenapi } from '../http/render-openapi.ts'
import { type CommandIo, EXIT_FAULT, EXIT_OK, EXIT_USAGE } from './io.ts'

const USAGE = `Usage: zoho-token-broker openapi [--write FILE]

Prints the OpenAPI description of the api listener, or writes it to FILE.
`

/** `openapi`: needs no config and no store. Exit 0; 2 for wrong arguments, 1 when FILE cannot be written. */
export async function openapiCommand(argv: string[], { stdout, stderr }: CommandIo): Promise<number> {
  let flags: { write?: string; help?: boolean }
  try {
    flags = parseArgs({ args: argv, options: { write: { type: 'string' }, help: { type: 'boolean' } } }).values
  } catch (error) {
    stderr.write(`openapi: ${messageOf(error)}\n${USAGE}`)
    return EXIT_USAGE
  }
  if (flags.help) {
    stdout.write(USAGE)
    return EXIT_OK
  }
  const text = await renderOpenapi()
  if (flags.write === undefined) {
    stdout.write(text)
    return EXIT_OK
  }
  try {
    await writeFile(flags.write, text)
    return EXIT_OK
  } catch (error) {
    stderr.write(`openapi: ${messageOf(error)}\n`)
    return EXIT_FAULT
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

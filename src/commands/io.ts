import type { Environment } from '../config/environment.ts'

/** What a command may touch of its process. */
export interface CommandIo {
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  readonly environment: Environment
}

/** Runs a command with the arguments after its name. Resolves to the exit code. */
export type Command = (argv: string[], io: CommandIo) => Promise<number>

/** The command did its work. */
export const EXIT_OK = 0
/** The command ran and found or met a fault. */
export const EXIT_FAULT = 1
/** The command was called in a way that it does not understand. */
export const EXIT_USAGE = 2

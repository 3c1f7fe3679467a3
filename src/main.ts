#!/usr/bin/env node
import type { CommandIo } from './commands/io.ts'
import { readEnvironment } from './config/environment.ts'

type Command = (argv: string[], io: CommandIo) => Promise<number | undefined>

const COMMANDS: { readonly [name: string]: { readonly about: string; readonly load: () => Promise<Command> } } = {
  serve: { about: 'run the broker', load: async () => (await import('./commands/serve.ts')).serveCommand },
  check: { about: 'check a configuration', load: async () => (await import('./commands/check.ts')).checkCommand },
  keys: {
    about: 'make an API key or a sealing key',
    load: async () => (await import('./commands/keys.ts')).keysCommand
  },
  openapi: { about: 'print openapi.yaml', load: async () => (await import('./commands/openapi.ts')).openapiCommand },
  simulator: {
    about: 'run the simulator of Zoho',
    load: async () => (await import('./commands/simulator.ts')).simulatorCommand
  },
  demo: {
    about: 'show the main job from end to end',
    load: async () => (await import('./commands/demo.ts')).demoCommand
  }
}

const io: CommandIo = { stdout: process.stdout, stderr: process.stderr, environment: readEnvironment() }
const [name = '', ...argv] = process.argv.slice(2)
const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined

if (!command) {
  const lines = Object.entries(COMMANDS).map(([each, { about }]) => `  ${each.padEnd(10)} ${about}\n`)
  io.stderr.write(`Usage: zoho-token-broker COMMAND [OPTIONS]\n\n${lines.join('')}\nCOMMAND --help tells more.\n`)
  process.exitCode = name === '' || name === '--help' ? 0 : 2
} else {
  // undefined: the command goes on until a signal ends it.
  const code = await (await command.load())(argv, io)
  if (code !== undefined) process.exitCode = code
}

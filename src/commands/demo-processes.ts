import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'

/** One process of the demo, a command of this very program. */
export interface DemoProcess {
  /** Resolves to the first line of output that `match` accepts; rejects when the process ends before. */
  line<T>(match: (line: string) => T | undefined): Promise<T>
  /** Sends SIGTERM and resolves to the exit code. */
  stop(): Promise<number | null>
}

/** Starts a command of this program as a process of its own. `keep` gets each line of its output. */
export function startCommand(args: readonly string[], keep: (line: string) => void): DemoProcess {
  const program = process.argv[1] as string
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const waiting = new Set<(line: string) => void>()
  const seen: string[] = []
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  for (const stream of [child.stdout, child.stderr]) {
    eachLine(stream, (line) => {
      seen.push(line)
      keep(line)
      for (const tell of waiting) tell(line)
    })
  }

  return {
    line: (match) =>
      new Promise((resolve, reject) => {
        const tell = (line: string) => {
          const found = match(line)
          if (found === undefined) return
          waiting.delete(tell)
          resolve(found)
        }
        waiting.add(tell)
        seen.forEach(tell)
        ended.then((code) => reject(new Error(`${args[0]} ended with ${code}: ${seen.slice(-3).join(' | ')}`)))
      }),
    stop: () => stopChild(child, ended)
  }
}

/** A free port on loopback: the wished one if it can be had. */
export async function freePort(wished: number): Promise<number> {
  return (await tryPort(wished)) ?? (await tryPort(0)) ?? wished
}

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined))
    })
  })
}

async function stopChild(child: ChildProcess, ended: Promise<number | null>): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
  return ended
}

function eachLine(stream: NodeJS.ReadableStream, take: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(take)
  })
}

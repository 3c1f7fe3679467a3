import { createConnection, createServer, type Socket } from 'node:net'
import type { Teardown } from './tcp-proxy.ts'

/** One command on its way to Redis: its name in lower case and all of its words. */
export interface Command {
  readonly name: string
  readonly words: readonly string[]
}

/** A way to Redis for one process, which can end in front of any command. */
export interface KillGate {
  readonly url: string
  /**
   * The nth command from now on that is a step, and all after it on any connection, never reach Redis: `strike` runs
   * instead, and the gate stays shut. What went before arrives.
   */
  arm(nth: number, isStep: (command: Command) => boolean, strike: () => void): void
  /** The steps that went through since it was armed. */
  passed(): readonly Command[]
  /** The command that it struck at. */
  struck(): Command | undefined
}

interface Trap {
  readonly isStep: (command: Command) => boolean
  readonly strike: () => void
  readonly nth: number
  readonly passed: Command[]
}

/** Starts a gate in front of `target`, a URL with a host and a port; closed with the test. */
export async function startKillGate(t: Teardown, target: string): Promise<KillGate> {
  const { hostname, port } = new URL(target)
  const links = new Set<readonly [client: Socket, target: Socket]>()
  let trap: Trap | undefined
  let struck: Command | undefined

  function mayPass(command: Command): boolean {
    if (!trap?.isStep(command)) return true
    if (trap.passed.length + 1 !== trap.nth) return trap.passed.push(command) > 0
    struck = command
    trap.strike()
    // `end` and not `destroy`: what has passed is still on its way.
    for (const [client, redis] of links) {
      client.destroy()
      redis.end()
    }
    return false
  }

  const server = createServer((client) => {
    if (struck) return client.destroy()
    const redis = createConnection(Number(port), hostname)
    const link = [client, redis] as const
    links.add(link)
    let unread = Buffer.alloc(0)
    client.on('data', (chunk) => {
      unread = Buffer.concat([unread, chunk])
      for (let read = readCommand(unread); read && !struck; read = readCommand(unread)) {
        if (mayPass(read.command)) redis.write(unread.subarray(0, read.size))
        unread = unread.subarray(read.size)
      }
    })
    redis.on('data', (chunk) => client.write(chunk))
    for (const socket of link) {
      socket.on('error', () => {})
      socket.on('close', () => {
        links.delete(link)
        if (!struck) for (const each of link) each.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const url = new URL(target)
  url.host = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  t.teardown(() => {
    server.close()
    for (const link of links) for (const socket of link) socket.destroy()
  })

  return {
    url: url.href,
    arm: (nth, isStep, strike) => {
      trap = { nth, isStep, strike, passed: [] }
    },
    passed: () => trap?.passed ?? [],
    struck: () => struck
  }
}

/** The first command in a client's bytes (RESP: an array of bulk strings); undefined until it is there whole. */
function readCommand(bytes: Buffer): { command: Command; size: number } | undefined {
  const count = readLength(bytes, 0, '*')
  if (!count) return undefined
  const words: string[] = []
  let at = count.end
  for (let i = 0; i < count.value; i++) {
    const length = readLength(bytes, at, '$')
    if (!length || bytes.length < length.end + length.value + 2) return undefined
    at = length.end + length.value + 2
    words.push(bytes.toString('latin1', length.end, at - 2))
  }
  return { command: { name: words[0]?.toLowerCase() ?? '', words }, size: at }
}

function readLength(bytes: Buffer, at: number, type: '*' | '$'): { value: number; end: number } | undefined {
  const end = bytes.indexOf('\r\n', at)
  if (end < 0) return undefined
  const text = bytes.toString('latin1', at, end)
  if (text[0] !== type) throw new Error(`Not a Redis command: ${JSON.stringify(text.slice(0, 40))}`)
  return { value: Number(text.slice(1)), end: end + 2 }
}

import type { ScriptedRedis } from '../../src/redis/scripts.ts'

const COMMANDS = [
  'zadd',
  'zrem',
  'ztbCommitBuffer',
  'ztbChange',
  'ztbRemove',
  'ztbLookBuffer',
  'xrange',
  'xadd',
  'ztbRelayed',
  'getrangeBuffer',
  'mgetBuffer'
]

/** What a call through a wrapped client does instead; `send` is the call as it was meant. */
export type Around = (name: string, args: unknown[], send: () => Promise<unknown>) => Promise<unknown>

/** Puts `around` about every command of a client. */
export function wrapCommands(around: Around): (client: ScriptedRedis) => ScriptedRedis {
  return (client) =>
    new Proxy(client, {
      get(target, name) {
        const value = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (!COMMANDS.includes(String(name)) && !String(name).startsWith('ztb')) return value.bind(target)
        return (...args: unknown[]) => around(String(name), args, () => value.apply(target, args))
      }
    })
}

/** A client whose process dies before its nth command, and the names of those it sent. */
export function dying(before: number): { sent: string[]; wrap: (client: ScriptedRedis) => ScriptedRedis } {
  const sent: string[] = []
  const wrap = wrapCommands((name, _args, send) => {
    if (sent.length >= before) return Promise.reject(new Error('dead'))
    sent.push(name)
    return send()
  })
  return { sent, wrap }
}

import { setImmediate as turn } from 'node:timers/promises'
import { BrokerError } from '../../src/domain/errors.ts'
import type { ScriptedRedis } from '../../src/redis/scripts.ts'

const COMMANDS = new Set([
  'zadd',
  'zrem',
  'zrangebylex',
  'hgetall',
  'get',
  'set',
  'getdel',
  'xrange',
  'xadd',
  'mgetBuffer',
  'getrangeBuffer'
])

/** Turns of the event loop that a slow store takes. */
const SLOW_TURNS = 60

/** What goes wrong with the effects of one process, after so many of them went well. */
export interface EffectFault {
  readonly kind: 'crash_before' | 'crash_after' | 'reply_lost' | 'store_away' | 'store_slow'
  readonly after: number
  /** How many effects it hits; a crash needs one. */
  readonly count: number
}

/** The way of one process to the world: every command and every upstream call goes through it, until it dies. */
export interface Effects {
  readonly dead: () => boolean
  arm(fault: EffectFault): void
  /** Takes back what is armed. */
  calm(): void
  die(): void
  /** Something done to Zoho; faults of the store do not touch it. */
  upstream<T>(send: () => Promise<T>): Promise<T>
  wrap(client: ScriptedRedis): ScriptedRedis
}

/** A way that takes a few turns of the loop at each step, by `random`, so that processes interleave in every order. */
export function createEffects(random: () => number, onFault: () => void): Effects {
  let isDead = false
  let armed: { kind: EffectFault['kind']; after: number; count: number }[] = []

  /** Nothing that a dead process does is ever done; a broker error passes through the store's bracket as it is. */
  const death = () => new BrokerError('ERR_INTERNAL', 'this process is dead')

  function next(isStore: boolean): EffectFault['kind'] | undefined {
    let hit: EffectFault['kind'] | undefined
    for (const fault of armed) {
      if (!isStore && !fault.kind.startsWith('crash')) continue
      if (fault.after > 0) fault.after--
      else if (hit === undefined) {
        hit = fault.kind
        fault.count--
      }
    }
    armed = armed.filter(({ count }) => count > 0)
    if (hit !== undefined) onFault()
    return hit
  }

  async function run<T>(isStore: boolean, send: () => Promise<T>): Promise<T> {
    if (isDead) throw death()
    const fault = next(isStore)
    const turns = fault === 'store_slow' ? SLOW_TURNS : Math.floor(random() * 4)
    for (let i = 0; i < turns; i++) await turn()
    if (fault === 'crash_before') isDead = true
    if (isDead) throw death()
    if (fault === 'store_away') throw new Error('Connection is closed.')
    const answer = await send()
    if (fault === 'crash_after') isDead = true
    if (isDead) throw death()
    if (fault === 'reply_lost') throw new Error('Connection is closed.')
    return answer
  }

  return {
    dead: () => isDead,
    arm: (fault) => void armed.push({ ...fault }),
    calm: () => {
      armed = []
    },
    die: () => {
      isDead = true
    },
    upstream: (send) => run(false, send),
    wrap: (client) =>
      new Proxy(client, {
        get(target, name) {
          const value = Reflect.get(target, name)
          if (typeof value !== 'function') return value
          if (!COMMANDS.has(String(name)) && !String(name).startsWith('ztb')) return value.bind(target)
          return (...args: unknown[]) => run(true, () => value.apply(target, args))
        }
      })
  }
}

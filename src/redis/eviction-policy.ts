import type { Redis } from 'ioredis'
import { asCluster } from './open-client.ts'
import type { StoreCall } from './store-call.ts'

export interface EvictionPolicyDeps {
  readonly client: Pick<Redis, 'info'>
  readonly call: StoreCall
  /** How often it is looked at. Default 60 000. */
  readonly everyMs?: number
  /** How soon after a look that failed. Default 1000. */
  readonly retryMs?: number
  /** The server may evict keys, so it may lose grants. Told at every look. */
  readonly onEvictionPolicy: (policy: string) => void
}

/** Looks at once, and then again and again, whether the server keeps what it is given. `close` ends that. */
export function watchEvictionPolicy(deps: EvictionPolicyDeps): { close(): void } {
  const { client, call, everyMs = 60_000, retryMs = 1000, onEvictionPolicy } = deps
  let closed = false
  let timer: NodeJS.Timeout | undefined

  /** On a cluster each primary has a policy of its own. */
  function servers(): Pick<Redis, 'info'>[] {
    return asCluster(client)?.nodes('master') ?? [client]
  }

  async function look(): Promise<void> {
    let nextMs = everyMs
    try {
      // Not CONFIG GET: an ACL user may be without it.
      const infos = await Promise.all(servers().map((server) => call(server.info('memory'))))
      const policies = infos.map((info) => /^maxmemory_policy:(\S+)/m.exec(info)?.[1])
      const evicting = policies.find((policy) => policy !== undefined && policy !== 'noeviction')
      if (!closed && evicting !== undefined) onEvictionPolicy(evicting)
    } catch {
      nextMs = retryMs
    }
    if (!closed) timer = setTimeout(look, nextMs).unref()
  }

  void look()
  return {
    close() {
      closed = true
      clearTimeout(timer)
    }
  }
}

import { type Cluster, Command, type Redis } from 'ioredis'
import { asCluster } from './open-client.ts'
import type { StoreCall } from './store-call.ts'

/** Keys that are answered together, each with its value or null. */
export interface Fetched {
  readonly keys: readonly string[]
  readonly values: Promise<readonly (Buffer | null)[]>
}

/** Gets strings: one MGET, or on a cluster, where that may not cross slots, one pipeline of GETs per primary. */
export function fetchMany(client: Pick<Redis, 'mgetBuffer'>, call: StoreCall, keys: string[]): Fetched[] {
  const cluster = asCluster(client)
  if (!cluster) return [{ keys, values: call(client.mgetBuffer(keys)) }]
  const nodes = new Map(cluster.nodes('master').map((node) => [`${node.options.host}:${node.options.port}`, node]))
  const byNode = Map.groupBy(keys, (key) => nodes.get(cluster.slots[slotOf(key)]?.[0] ?? ''))
  return [...byNode].map(([node, theirs]) => ({ keys: theirs, values: call(getAll(cluster, node, theirs)) }))
}

async function getAll(cluster: Cluster, node: Redis | undefined, keys: string[]): Promise<(Buffer | null)[]> {
  // A node that we do not know, or that has just gone: the cluster's own ways lead to its successor.
  if (node?.status !== 'ready') return Promise.all(keys.map((key) => cluster.getBuffer(key)))
  const pipeline = node.pipeline()
  for (const key of keys) pipeline.getBuffer(key)
  const results = (await pipeline.exec()) ?? []
  return Promise.all(
    keys.map((key, i) => {
      const [error, value] = results[i] ?? [new Error('No answer')]
      if (!error) return value as Buffer | null
      if (!saysElsewhere(error)) throw error
      return cluster.getBuffer(key)
    })
  )
}

/** Whether the node refused for the cluster's state: nothing ran, and another may answer. */
export function saysElsewhere(error: Error): boolean {
  return /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b/.test(error.message)
}

function slotOf(key: string): number {
  return new Command('get', [key]).getSlot()
}

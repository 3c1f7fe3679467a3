import { Cluster, type Redis } from 'ioredis'

/** A place in which a secret was found. Never the secret itself. */
export interface Leak {
  readonly where: string
  readonly encoding: string
  readonly secret: number
}

/** Looks for secrets, also in base64, hex and percent-encoding, in named texts. */
export function findLeaks(secrets: readonly string[], texts: Iterable<readonly [where: string, text: string]>): Leak[] {
  const needles = secrets.flatMap((secret, index) =>
    Object.entries(encodings(secret)).map(([encoding, needle]) => ({ encoding, needle, index }))
  )
  const leaks: Leak[] = []
  for (const [where, text] of texts) {
    for (const { encoding, needle, index } of needles) {
      if (text.includes(needle)) leaks.push({ where, encoding, secret: index })
    }
  }
  return leaks
}

function encodings(secret: string): Record<string, string> {
  const bytes = Buffer.from(secret)
  return {
    plain: secret,
    hex: bytes.toString('hex'),
    // Without the last characters, which depend on what follows.
    base64: bytes.toString('base64').replace(/=+$/, '').slice(0, -2),
    ...(encodeURIComponent(secret) !== secret && { percent: encodeURIComponent(secret) })
  }
}

/** Every value under a prefix, of every type, as text. */
export async function redisTexts(client: Redis | Cluster, prefix: string): Promise<[string, string][]> {
  if (client instanceof Cluster) {
    // A primary that died may still stand in the map.
    await new Promise((resolve) => client.refreshSlotsCache(resolve))
    return (await Promise.all(client.nodes('master').map((node) => redisTexts(node, prefix)))).flat()
  }
  const texts: [string, string][] = []
  for (const pattern of [`${prefix}:*`, `{${prefix}:*`]) {
    let cursor = '0'
    do {
      const [next, keys]: [string, string[]] = await client.scan(cursor, 'MATCH', pattern, 'COUNT', 1000)
      cursor = next
      for (const key of keys) texts.push([`Redis ${key}`, `${key}\n${await readValue(client, key)}`])
    } while (cursor !== '0')
  }
  return texts
}

async function readValue(client: Redis, key: string): Promise<string> {
  switch (await client.type(key)) {
    case 'string':
      return (await client.getBuffer(key))?.toString('latin1') ?? ''
    case 'hash':
      return JSON.stringify(await client.hgetall(key))
    case 'list':
      return (await client.lrange(key, 0, -1)).join('\n')
    case 'set':
      return (await client.smembers(key)).join('\n')
    case 'zset':
      return (await client.zrange(key, '0', '-1')).map(String).join('\n')
    case 'stream':
      return JSON.stringify(await client.xrange(key, '-', '+'))
    default:
      return ''
  }
}

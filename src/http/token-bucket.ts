/** How fast a consumer may ask and how many requests it may save up. */
export interface TokenLimit {
  readonly perSecond: number
  readonly burst: number
}

/** What is left of one consumer's allowance, and when that was true (ms). */
export interface Bucket {
  readonly tokens: number
  readonly at: number
}

/** One request's answer from a bucket. */
export interface Taken {
  readonly allowed: boolean
  readonly bucket: Bucket
  /** Whole requests left now. */
  readonly remaining: number
  /** How long until the next request is allowed; 0 when this one was. */
  readonly retryAfterMs: number
  /** How long until the bucket is full again. */
  readonly fullInMs: number
}

/** Takes one request from a bucket (undefined: a full one). A clock that goes back refills nothing and blocks nobody. */
export function take({ perSecond, burst }: TokenLimit, bucket: Bucket | undefined, now: number): Taken {
  const elapsedMs = bucket ? Math.max(0, now - bucket.at) : 0
  const saved = bucket ? Math.min(burst, bucket.tokens + (elapsedMs * perSecond) / 1000) : burst
  const allowed = saved >= 1
  const tokens = allowed ? saved - 1 : saved
  return {
    allowed,
    bucket: { tokens, at: now },
    remaining: Math.floor(tokens),
    retryAfterMs: allowed ? 0 : Math.ceil(((1 - saved) * 1000) / perSecond),
    fullInMs: Math.ceil(((burst - tokens) * 1000) / perSecond)
  }
}

/** One bucket per name in this process. Names come from the config, so the map is bounded by it. */
export function createTokenBuckets(limit: TokenLimit, now: () => number): (name: string) => Taken {
  const buckets = new Map<string, Bucket>()
  return (name) => {
    const taken = take(limit, buckets.get(name), now())
    buckets.set(name, taken.bucket)
    return taken
  }
}

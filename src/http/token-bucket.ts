/** How fast a consumer may ask and how many requests it may save up. */
export interface TokenLimit {
  readonly perSecond: number
  readonly burst: number
}

/** What is left of one consumer's allowance, in thousandths of a request so that no fraction is lost, and when that was true (ms). */
export interface Bucket {
  readonly thousandths: number
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
  const full = burst * 1000
  const elapsedMs = bucket ? Math.max(0, now - bucket.at) : 0
  // What comes per second in whole requests comes per millisecond in thousandths.
  const saved = bucket ? Math.min(full, bucket.thousandths + elapsedMs * perSecond) : full
  const allowed = saved >= 1000
  const left = allowed ? saved - 1000 : saved
  return {
    allowed,
    bucket: { thousandths: left, at: now },
    remaining: Math.floor(left / 1000),
    retryAfterMs: allowed ? 0 : Math.ceil((1000 - saved) / perSecond),
    fullInMs: Math.ceil((full - left) / perSecond)
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

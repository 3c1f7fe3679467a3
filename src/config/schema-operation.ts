import { choice, closed, count, ms } from './schema-parts.ts'

/** Levels of the log, least first. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const

/** How access tokens are refreshed. */
export const Refresh = closed(
  {
    budget: count('Upstream refreshes of one connection in a window. Zoho allows 10 in 10 minutes.', 5, 3),
    budget_window_ms: ms('Length of that window.', 600_000),
    upstream_timeout_ms: ms('Total time of one call to Zoho.', 8000),
    connect_timeout_ms: ms('Time to connect to Zoho.', 2000),
    lease_ttl_ms: ms('Life of the exclusive right to refresh a connection.', 15_000),
    caller_deadline_ms: ms('A caller has its answer after this time at the latest.', 9000),
    second_strike_ms: ms(
      'A grant counts as dead when Zoho refuses it twice with at least this time between.',
      60_000,
      0
    ),
    backoff_first_ms: ms('Wait after the first failure.', 5000),
    backoff_max_ms: ms('Longest wait after failures.', 300_000),
    store_retry_ms: ms('How long a new token is kept and its write tried again while Redis is away.', 10_000),
    in_flight: count('Calls to Zoho at a time, per process, app and data center.', 50),
    in_flight_reserved: count('Of these, how many are kept for callers who wait.', 10, 0)
  },
  {
    description:
      '`lease_ttl_ms` must exceed `upstream_timeout_ms` by 2 × `redis.command_timeout_ms` + 500; `caller_deadline_ms` must exceed it too.',
    default: {}
  }
)

/** How people connect. */
export const Connect = closed(
  {
    link_life_ms: ms('Life of a connect link for which the request names none.', 600_000),
    state_life_ms: ms('How long a person may take at Zoho.', 600_000),
    exchange_deadline_ms: ms('An exchange that did not end by then counts as lost with its process.', 60_000),
    confirm_life_ms: ms('How long a grant waits for its confirmation.', 600_000)
  },
  { default: {} }
)

/** How grants are ended at Zoho. */
export const Revoke = closed(
  {
    visibility_ms: ms('A revoke whose process died is taken up again after this time.', 30_000),
    give_up_ms: ms('After this time of failures the sealed tokens are deleted all the same.', 86_400_000)
  },
  { default: {} }
)

/** How due work is found. */
export const Sweep = closed(
  {
    every_ms: ms('How often the workers look for connections that are due.', 2000),
    visibility_ms: ms('A connection whose worker died is taken up again after this time.', 40_000),
    batch: count('Connections in one job.', 50),
    claim: count('Connections claimed in one step.', 500)
  },
  { default: {} }
)

/** How fast consumers and browsers may ask. */
export const Limits = closed(
  {
    token: closed(
      {
        per_second: count('Token requests of one consumer per second and process.', 1000),
        burst: count('Token requests that it may make at once.', 4000)
      },
      { default: {} }
    ),
    admin_per_minute: count('Admin requests of one consumer per minute.', 600),
    public_per_minute: count('Requests of one address to the public listener per minute.', 300)
  },
  { default: {} }
)

/** What is logged. */
export const Log = closed(
  {
    level: choice(LOG_LEVELS, {
      description: 'How much is logged. The environment variable `LOG_LEVEL` wins over it.',
      default: 'info'
    })
  },
  { default: {} }
)

/** How the process ends. */
export const Shutdown = closed(
  {
    drain_ms: ms('After SIGTERM: how long readiness is false before the listeners close.', 2000, 0),
    deadline_ms: ms('After SIGTERM: the process has ended after this time at the latest.', 25_000)
  },
  { default: {} }
)

import { type DestinationStream, destination, type Logger, pino } from 'pino'
import { refKey } from '../domain/ids.ts'
import type { BrokerEvent, HandOut } from '../domain/ports.ts'

/** The second net under the `Secret` type: members with these names are never printed, at the root or one level down. */
const SECRET_MEMBERS = [
  'access_token',
  'refresh_token',
  'client_secret',
  'grant_code',
  'code_verifier',
  'authorization',
  'cookie',
  'password',
  'args'
]

/** Lines wait for so many bytes or this long, whichever comes first. */
const BUFFER_BYTES = 8192
const FLUSH_EVERY_MS = 50

/** One JSON line a fact, to stdout, written asynchronously; `close` writes what is left. */
export interface Observer {
  readonly log: Logger
  /** One line per hand-out and refusal, by its own logger so that `log.level` cannot silence it. */
  recordHandOut(handOut: HandOut): void
  /** Logs what an operator should see; the rest is for metrics. */
  logEvent(event: BrokerEvent): void
  close(): Promise<void>
}

/** Makes the program's logger. `stream` is for tests. */
export function createObserver(options: { level: string; stream?: DestinationStream }): Observer {
  const stdout = options.stream ? undefined : destination({ dest: 1, sync: false, minLength: BUFFER_BYTES })
  // One write for many lines: a write a line would cost more than the answer that it records.
  const flushing = stdout && setInterval(() => stdout.flush(), FLUSH_EVERY_MS).unref()
  const stream = options.stream ?? (stdout as DestinationStream)
  const base = { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelName } }
  const log = pino(
    {
      ...base,
      level: options.level,
      redact: { paths: SECRET_MEMBERS.flatMap((name) => [name, `*.${name}`]), censor: '[secret]' }
    },
    stream
  )
  const audit = pino({ ...base, level: 'info' }, stream)

  return {
    log,
    recordHandOut({ consumer, ref, outcome, generation, fingerprint }) {
      audit.info({
        audit: outcome === 'issued' ? 'token.issued' : 'token.refused',
        consumer,
        tenant: ref.tenant,
        connection: ref.connection,
        ...(outcome !== 'issued' && { refused_with: outcome }),
        generation,
        fingerprint
      })
    },
    logEvent(event) {
      const fields = { event: event.type, connection: refKey(event.ref) }
      switch (event.type) {
        case 'refresh.ended':
          log[event.outcome === 'granted' ? 'debug' : 'warn'](
            { ...fields, app: event.app, data_center: event.dataCenter, outcome: event.outcome, ms: event.ms },
            event.outcome === 'granted' ? 'refreshed' : 'Zoho gave no new token'
          )
          break
        case 'write.refused':
          log.info({ ...fields, what: event.what }, 'a late answer was dropped: somebody else wrote meanwhile')
          break
        case 'lease.lost':
          log.info(fields, 'the lease ended while its holder was at work; the guarded write decides')
          break
        case 'store.retried':
          log.warn({ ...fields, attempt: event.attempt }, 'writing again what Zoho gave')
          break
        case 'store.gave_up':
          log.error(fields, 'what Zoho gave could not be stored')
          break
        case 'sealed.unreadable':
          log.error(
            { ...fields, purpose: event.purpose },
            'a sealed token cannot be opened: key missing or bytes changed'
          )
          break
        case 'grant.orphaned':
          log.error(
            { ...fields, outcome: event.outcome, fingerprint: event.fingerprint },
            'Zoho gave a grant that was not stored'
          )
          break
        case 'revoke.ended':
          log[event.outcome === 'failed' || event.outcome === 'refused' ? 'warn' : 'info'](
            { ...fields, outcome: event.outcome },
            'revoke at Zoho'
          )
          break
        case 'budget.refused':
        case 'lease.waited':
          log.debug(fields, event.type)
      }
    },
    async close() {
      if (!stdout) return
      clearInterval(flushing)
      await new Promise<void>((resolve) => stdout.flush(() => resolve()))
    }
  }
}

function levelName(level: string): { level: string } {
  return { level }
}

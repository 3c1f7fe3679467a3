import { BrokerError, isBrokerError } from '../domain/errors.ts'

const RETRY_AFTER_MS = 1000

/** A deadline that fires this much too late was held up by our own event loop. */
const LATE_MS = 20

/** How long an answer may still come after such a late deadline. */
const SECOND_LOOK_MS = 50

/** Bounds a command in time and gives its failure a code. `extraMs` is time that the command itself waits in the server. */
export type StoreCall = <T>(command: Promise<T>, extraMs?: number) => Promise<T>

/** Makes the bracket around every store command: any failure, also no answer within `deadlineMs`, is `ERR_STORE_UNAVAILABLE`. */
export function createStoreCall({ deadlineMs = 200 }: { deadlineMs?: number } = {}): StoreCall {
  return (command, extraMs = 0) =>
    new Promise((resolve, reject) => {
      const dueAt = performance.now() + deadlineMs + extraMs
      const giveUp = () => reject(storeUnavailable(new Error(`No answer within ${deadlineMs + extraMs} ms`)))
      // Timers run before sockets are read, so the answer may be here already: give the loop a turn to read it.
      let timer = setTimeout(() => {
        if (performance.now() - dueAt < LATE_MS) setImmediate(giveUp)
        else timer = setTimeout(giveUp, SECOND_LOOK_MS)
      }, deadlineMs + extraMs)
      command.then(
        (answer) => {
          clearTimeout(timer)
          resolve(answer)
        },
        (error) => {
          clearTimeout(timer)
          reject(storeUnavailable(error))
        }
      )
    })
}

/** The error a caller sees for a failure of the store; a broker error stays as it is. */
export function storeUnavailable(error: unknown): BrokerError {
  if (isBrokerError(error)) return error
  return new BrokerError('ERR_STORE_UNAVAILABLE', 'The store did not answer. Try again shortly.', {
    retryAfterMs: RETRY_AFTER_MS,
    cause: withoutArguments(error)
  })
}

/** What a client or server error says, without the command's arguments: ioredis hangs them on it, Redis quotes some. */
export function withoutArguments(error: unknown): Error {
  if (!(error instanceof Error)) return new Error('Unknown failure')
  const bare = new Error(error.message.split(', with args beginning with')[0])
  bare.name = error.name
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? Object.assign(bare, { code }) : bare
}

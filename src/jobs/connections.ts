import type { Redis } from 'ioredis'

/** The connection that queues and workers share, and the copies that BullMQ makes of it for blocking reads. */
export interface Connections {
  readonly client: Redis
  /** Ends all of them for good. Does not wait for Redis. */
  end(): void
}

/** Opens the shared connection and keeps an eye on its copies: BullMQ makes them, but does not reliably end them. */
export function openConnections(connect: () => Redis): Connections {
  const client = connect()
  const all = [client]
  // A cluster's takes its nodes first.
  const duplicate: (...args: Parameters<Redis['duplicate']>) => Redis = client.duplicate.bind(client)
  client.duplicate = (...args) => {
    const copy = duplicate(...args)
    watch(copy)
    all.push(copy)
    return copy
  }
  watch(client)

  return {
    client,
    end() {
      for (const connection of all) endForGood(connection)
    }
  }
}

function watch(connection: Redis): void {
  // BullMQ tells of errors as long as its objects live; a late one must not be unhandled.
  connection.on('error', () => {})
}

function endForGood(connection: Redis): void {
  const never = () => null
  Object.assign(connection.options, { retryStrategy: never, clusterRetryStrategy: never })
  // A reconnect of BullMQ that was waiting takes the end of a connection for a reason to open it again.
  connection.on('connect', () => connection.disconnect())
  connection.disconnect()
}

import { createConnection, createServer, type Socket } from 'node:net'

/** The part of a tap test that the helpers use. */
export interface Teardown {
  teardown(run: () => unknown): void
}

/** A TCP proxy on 127.0.0.1 that can hurt what goes through it. */
export interface TcpProxy {
  readonly port: number
  /** The target's URL, with this proxy in place of its host and port. */
  readonly url: string
  /** How many connections it has accepted. */
  accepted(): number
  /** Resets all connections and refuses new ones. */
  cut(): Promise<void>
  /** Half-open: connections stand and are accepted, no byte passes, no end is told. */
  freeze(): void
  /** Lets through what `freeze` held back. */
  thaw(): void
  /** Undoes `cut` and `freeze`. */
  heal(): Promise<void>
}

interface Link {
  readonly client: Socket
  readonly target: Socket
}

/** Starts a proxy in front of `target`, a URL with a host and a port; closed with the test. */
export async function startTcpProxy(t: Teardown, target: string): Promise<TcpProxy> {
  const { hostname, port: targetPort } = new URL(target)
  const links = new Set<Link>()
  let frozen = false
  let accepted = 0

  const server = createServer((client) => {
    accepted++
    const link: Link = { client, target: createConnection(Number(targetPort), hostname) }
    links.add(link)
    forward(link, link.client, link.target)
    forward(link, link.target, link.client)
    if (frozen) pause(link)
  })

  function forward(link: Link, from: Socket, to: Socket): void {
    from.on('data', (chunk) => to.write(chunk))
    from.on('error', () => {})
    from.on('close', () => {
      // A dead network does not tell the other side; `thaw` does.
      if (!frozen) end(link)
    })
  }

  function pause({ client, target }: Link): void {
    client.pause()
    target.pause()
  }

  function end(link: Link): void {
    links.delete(link)
    link.client.destroy()
    link.target.destroy()
  }

  function listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        resolve()
      })
    })
  }

  async function cut(): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const link of links) {
      link.client.resetAndDestroy()
      end(link)
    }
    await closed
  }

  function thaw(): void {
    frozen = false
    for (const link of links) {
      if (link.client.destroyed || link.target.destroyed) end(link)
      link.client.resume()
      link.target.resume()
    }
  }

  await listen(0)
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  t.teardown(cut)

  return {
    port,
    url: url.href,
    accepted: () => accepted,
    cut,
    freeze: () => {
      frozen = true
      for (const link of links) pause(link)
    },
    thaw,
    heal: async () => {
      thaw()
      if (!server.listening) await listen(port)
    }
  }
}

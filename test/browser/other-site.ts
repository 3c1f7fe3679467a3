import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../helpers/tcp-proxy.ts'

/** A site that is not ours, on `localhost`. */
export interface OtherSite {
  readonly origin: string
  /** Accounts servers of a Zoho that sends every browser back at once: the person declines. */
  readonly hastyZoho: string
}

const page = (body: string) => `<!doctype html><link rel="icon" href="data:,"><title>Other</title><h1>Other</h1>${body}`
const quoted = (url: URL) => (url.searchParams.get('link') ?? '').replaceAll('"', '')

const PAGES: Readonly<Record<string, (url: URL) => string>> = {
  '/zoho': () => page(''),
  '/mail': (url) => page(`<a href="${quoted(url)}">Connect</a>`),
  '/press': (url) => page(`<form method="post" action="${quoted(url)}"><button>Win</button></form>`),
  '/frame': (url) => page(`<iframe src="${quoted(url)}"></iframe>`)
}

/** Starts it on a free port; it ends with the test. */
export async function startOtherSite(t: Teardown): Promise<OtherSite> {
  const server = createServer((request, response) => {
    const url = new URL(request.url as string, 'http://localhost')
    const back = url.searchParams.get('redirect_uri')
    if (url.pathname === '/oauth/v2/auth' && back) {
      const answer = new URLSearchParams({ error: 'access_denied', state: url.searchParams.get('state') ?? '' })
      response.writeHead(302, { location: `${back}?${answer}` }).end()
      return
    }
    const show = PAGES[url.pathname]
    response.writeHead(show ? 200 : 404, { 'content-type': 'text/html' }).end(show?.(url))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { origin: `http://localhost:${port}`, hastyZoho: `http://127.0.0.1:${port}` }
}

import { connect } from 'node:net'

/** Keeps `connections` busy with one request each for `ms`; gives the number of 200 answers and the latencies in ms. Throws on any other answer. */
export async function load(url: string, options: { headers: Record<string, string>; connections: number; ms: number }) {
  const { hostname, port, pathname } = new URL(url)
  const head = Object.entries(options.headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')
  const request = `POST ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\n${head}content-length: 0\r\n\r\n`
  const until = performance.now() + options.ms
  const latencies: number[] = []
  await Promise.all(Array.from({ length: options.connections }, () => client()))
  return { answered: latencies.length, latencies: latencies.sort((a, b) => a - b) }

  function client(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname)
      let rest = ''
      let sentAt = 0
      const send = () => {
        if (performance.now() >= until) return socket.end()
        sentAt = performance.now()
        socket.write(request)
      }
      socket.setEncoding('latin1').setNoDelay(true)
      socket.on('connect', send)
      socket.on('data', (text: string) => {
        rest += text
        const end = rest.indexOf('\r\n\r\n')
        if (end < 0) return
        const length = Number(/content-length: (\d+)/i.exec(rest)?.[1] ?? 0)
        if (rest.length < end + 4 + length) return
        if (!rest.startsWith('HTTP/1.1 200')) return reject(new Error(rest.slice(0, 200)))
        rest = rest.slice(end + 4 + length)
        latencies.push(performance.now() - sentAt)
        send()
      })
      socket.on('error', reject)
      socket.on('close', () => resolve())
    })
  }
}

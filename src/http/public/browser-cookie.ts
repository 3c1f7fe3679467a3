import { hash, randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

const LIFE_SECONDS = 600
const VALUE = /^[A-Za-z0-9_-]{43}$/

/** The cookie that binds a connect flow to the browser that started it. */
export interface BrowserCookie {
  /** SHA-256 (hex) of the cookie that the browser sent; undefined without a well-formed one. */
  hashOf(request: FastifyRequest): string | undefined
  /** Lets the browser keep its cookie for 10 more minutes, or gives it one; tabs share it. Returns its SHA-256 (hex). */
  renew(request: FastifyRequest, reply: FastifyReply): string
}

/** `__Host-` and Secure, except on plain http, where browsers would not keep such a cookie. */
export function createBrowserCookie(publicUrl: string): BrowserCookie {
  const secure = publicUrl.startsWith('https:')
  const name = secure ? '__Host-ztb-connect' : 'ztb-connect'
  const attributes = `Path=/; Max-Age=${LIFE_SECONDS}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`

  return {
    hashOf(request) {
      const value = sentBy(request)
      return value === undefined ? undefined : hash('sha256', value)
    },
    renew(request, reply) {
      const value = sentBy(request) ?? randomBytes(32).toString('base64url')
      reply.header('set-cookie', `${name}=${value}; ${attributes}`)
      return hash('sha256', value)
    }
  }

  function sentBy({ headers }: FastifyRequest): string | undefined {
    const own = (headers.cookie ?? '').split(';').map((pair) => pair.trim())
    const value = own.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1)
    return value !== undefined && VALUE.test(value) ? value : undefined
  }
}

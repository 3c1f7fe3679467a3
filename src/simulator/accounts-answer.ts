import { randomBytes, randomUUID } from 'node:crypto'
import type { Answer } from './endpoint.ts'
import { PAGE_HEADERS } from './page.ts'

/** An answer of an accounts server with the headers that were captured from the real one (zoho.md §1.5). */
export function accountsAnswer(status: number, body: object, outcome: string, accessToken?: string): Answer {
  const headers = { ...accountsHeaders(), 'content-type': 'application/json;charset=UTF-8' }
  return { status, headers, body: JSON.stringify(body), outcome, accessToken }
}

/** Zoho says most errors inside a 200. */
export function accountsError(error: string, status = 200): Answer {
  return accountsAnswer(status, { error }, error)
}

/** A page for people. */
export function accountsPage(status: number, body: string, outcome: string): Answer {
  return { status, headers: { ...accountsHeaders(), ...PAGE_HEADERS }, body, outcome }
}

/** The bare 400 for a wrong method or a missing `grant_type`. */
export function badRequest(outcome: string): Answer {
  const headers = { ...accountsHeaders(), 'content-type': 'text/html;charset=UTF-8' }
  return { status: 400, headers, body: '<html><body><h1>400 Bad Request</h1></body></html>', outcome }
}

function accountsHeaders(): Record<string, string | string[]> {
  const csrf = randomUUID()
  return {
    server: 'ZGS',
    'set-cookie': [
      `${randomBytes(5).toString('hex')}=${randomBytes(16).toString('hex')}; Path=/`,
      `iamcsr=${csrf};path=/;SameSite=None;Secure;priority=high`,
      `_zcsr_tmp=${csrf};path=/;SameSite=Strict;Secure;priority=high`
    ]
  }
}

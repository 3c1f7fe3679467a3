import type { FastifyHelmetOptions } from '@fastify/helmet'
import { STYLE_SOURCE } from './document.ts'

const YEAR_SECONDS = 31_536_000

/** Headers of every answer of the public listener: a page runs nothing, loads nothing, sends nothing, is framed by nobody. */
export function pageHeaders(publicUrl: string): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: policy(["'none'"]),
    referrerPolicy: { policy: 'no-referrer' },
    // The operator's other hosts are not ours to promise for.
    strictTransportSecurity: publicUrl.startsWith('https:') && { maxAge: YEAR_SECONDS, includeSubDomains: false },
    xFrameOptions: { action: 'deny' }
  }
}

/**
 * What the link page has instead: its form leads to `formTargets` (Chromium asks for every hop of the redirects), and with
 * `no-referrer` browsers would post it with `Origin: null`. `same-origin` tells other origins just as little.
 */
export function linkPageHeaders(formTargets: readonly string[]): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: policy([...new Set(formTargets)]),
    referrerPolicy: { policy: 'same-origin' }
  }
}

function policy(formAction: string[]) {
  return {
    useDefaults: false,
    directives: {
      'default-src': ["'none'"],
      'style-src': [STYLE_SOURCE],
      'form-action': formAction,
      'frame-ancestors': ["'none'"],
      'base-uri': ["'none'"]
    }
  }
}

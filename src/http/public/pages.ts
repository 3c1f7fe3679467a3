import type { LinkPage } from '../../domain/connect-broker.ts'
import type { ConnectFlow, ConnectResult } from '../../domain/connect-link.ts'
import { documentOf } from './document.ts'
import { type Html, html } from './html.ts'
import { REFUSALS, type RefusalCode } from './refusal-messages.ts'
import { type Message, RESULTS, UNFINISHED } from './result-messages.ts'
import { scopeInWords } from './scope-words.ts'

const LOOK_AGAIN_SECONDS = 4

/** What a link page needs beside the link: the name under which people know the broker. */
export function linkPage(page: LinkPage, host: string): string {
  const { tenantLabel, scopes, reconnect } = page
  const permissions = scopes.map((scope) => html`<li>${scopeInWords(scope)}<code>${scope}</code></li>\n`)
  return documentOf({
    title: `Connect Zoho for ${tenantLabel}`,
    body: html`${mark('ask')}
<h1>Connect Zoho for <bdi>${tenantLabel}</bdi></h1>
<p><strong>${host}</strong> asks for your consent to use Zoho on behalf of <strong><bdi>${tenantLabel}</bdi></strong>.</p>
${
  reconnect &&
  html`<p class="note">There is a connection already. Yours replaces it; the present one works until yours is in place.</p>`
}
<h2>With your consent it may</h2>
<ul>
${permissions}</ul>
<form method="post"><button type="submit">Continue to Zoho</button></form>
<p class="soft">You sign in and decide at Zoho; your password never reaches us. If you did not expect this link, close this page: nothing has happened yet.</p>
<dl>
<dt>Application</dt><dd><code>${page.app}</code></dd>
</dl>`
  })
}

/** How a flow came out, as far as the store knows. */
export interface FlowOutcome {
  readonly status: ConnectFlow['status']
  readonly result?: ConnectResult
  readonly tenantLabel?: string
  readonly app?: string
}

/** The page of one flow; it looks again by itself while the flow is not over. */
export function resultPage(flowId: string, { status, result, tenantLabel, app }: FlowOutcome): string {
  const code = result ?? resultOf(status)
  const message = code === 'open' || code === 'exchanging' ? UNFINISHED[code] : RESULTS[code]
  return messagePage(message, {
    facts: [
      ['For', tenantLabel],
      ['Application', app],
      ['Code', code],
      ['Reference', flowId]
    ],
    again: code === 'open' || code === 'exchanging'
  })
}

/** The page of a refusal; nothing of the request is in it. */
export function refusalPage(code: RefusalCode, requestId: string): string {
  return messagePage(
    { ...REFUSALS[code], tone: 'bad' },
    {
      facts: [
        ['Code', code],
        ['Reference', requestId]
      ],
      again: false
    }
  )
}

function resultOf(status: ConnectFlow['status']): ConnectResult | 'open' | 'exchanging' {
  if (status === 'done') return 'connected'
  return status === 'failed' ? 'flow_ended' : status
}

interface Around {
  readonly facts: readonly (readonly [name: string, value: string | undefined])[]
  readonly again: boolean
}

function messagePage({ tone, title, text, next }: Message, { facts, again }: Around): string {
  const known = facts.filter(([, value]) => value !== undefined)
  return documentOf({
    title,
    ...(again && { refreshSeconds: LOOK_AGAIN_SECONDS }),
    body: html`${mark(tone)}
<h1>${title}</h1>
<p>${text}</p>
<p>${next}</p>
<dl>
${known.map(([name, value]) => html`<dt>${name}</dt><dd>${fact(name, value)}</dd>\n`)}</dl>`
  })
}

function fact(name: string, value: string | undefined): Html {
  return name === 'For' ? html`<bdi>${value}</bdi>` : html`<code>${value}</code>`
}

/** Inside a circle: a tick, a clock, an exclamation mark, two links of a chain. */
const STROKES: Readonly<Record<Message['tone'] | 'ask', Html>> = {
  good: html`<path d="M7.5 12.4l3 3 6-6.4"/>`,
  wait: html`<path d="M12 7v5.2l3.2 2"/>`,
  bad: html`<path d="M12 7v6M12 16.4v.1"/>`,
  ask: html`<path d="M10.6 13.4a2.4 2.4 0 0 0 3.4 0l2-2a2.4 2.4 0 0 0-3.4-3.4l-.7.7M13.4 10.6a2.4 2.4 0 0 0-3.4 0l-2 2a2.4 2.4 0 0 0 3.4 3.4l.7-.7"/>`
}

function mark(tone: Message['tone'] | 'ask'): Html {
  return html`<svg class="mark ${tone}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="12" cy="12" r="10"/>${STROKES[tone]}</svg>`
}

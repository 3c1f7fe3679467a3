import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import t from 'tap'
import type { ConnectResult } from '../../src/domain/connect-link.ts'
import { STYLE_SOURCE } from '../../src/http/public/document.ts'
import { html, trusted } from '../../src/http/public/html.ts'
import { linkPage, refusalPage, resultPage } from '../../src/http/public/pages.ts'
import { addressGroup } from '../../src/http/public/public-limit.ts'
import { REFUSALS, type RefusalCode } from '../../src/http/public/refusal-messages.ts'
import { RESULT_CODES, RESULTS } from '../../src/http/public/result-messages.ts'
import { scopeInWords } from '../../src/http/public/scope-words.ts'
import { FLOW_ID, linkPageOf } from './connect-fakes.ts'

const HOST = 'connect.example.com'
const REFUSAL_CODES = Object.keys(REFUSALS) as RefusalCode[]
const ended = (result: ConnectResult) => ({ status: 'done', result, tenantLabel: 'Acme Support', app: 'desk' }) as const

/** Every page there is, by name. */
const all = new Map([
  ['link', linkPage(linkPageOf(), HOST)],
  ['reconnect', linkPage(linkPageOf({ reconnect: true }), HOST)],
  ['open', resultPage(FLOW_ID, { status: 'open' })],
  ['exchanging', resultPage(FLOW_ID, { status: 'exchanging' })],
  ...RESULT_CODES.map((code) => [`result ${code}`, resultPage(FLOW_ID, ended(code))] as const),
  ...REFUSAL_CODES.map((code) => [`refusal ${code}`, refusalPage(code, 'the-request-id')] as const)
])

/** What a reader sees: no tags, no style. */
const wordsOf = (page: string) => page.replace(/<style>[\s\S]*<\/style>/, '').replace(/<[^>]*>/g, ' ')

t.test('every hole of a template is escaped, HTML of ours is not', async (t) => {
  t.equal(html`<b title="${`"'><`}">${'<i>&`'}</b>`.text, '<b title="&quot;&#39;&gt;&lt;">&lt;i&gt;&amp;&#96;</b>')
  t.equal(html`${html`<i>${'<'}</i>`}${[html`<b>`, html`</b>`]}${trusted('&')}`.text, '<i>&lt;</i><b></b>&')
  t.equal(html`${undefined}${false}${0}`.text, '0')
})

t.test('no text opens a tag, a quote or an entity, whatever it is', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const escaped = html`${text}`.text
      return !/[<>"'`]/.test(escaped) && !/&(?!(amp|lt|gt|quot|#39|#96);)/.test(escaped)
    })
  )
})

t.test('hostile labels, apps and scopes are shown as text, and a direction sign ends with its label', async (t) => {
  const hostile = `"><script>alert(1)</script><img src=x onerror='x'>{{7*7}}\u202e`
  const link = linkPage({ tenantLabel: hostile, app: hostile, scopes: [hostile], reconnect: true }, HOST)
  const result = resultPage(FLOW_ID, { ...ended('connected'), tenantLabel: hostile, app: hostile })
  for (const page of [link, result]) {
    t.notMatch(page, /<script|<img|onerror='/)
    t.match(page, '&lt;script&gt;alert(1)&lt;/script&gt;')
    t.match(page, /<bdi>&quot;&gt;/)
  }
})

t.test('every page is one document with a language, a title, one main heading and our style alone', async (t) => {
  for (const [name, page] of all) {
    t.match(page, /^<!doctype html>\n<html lang="en">/, name)
    t.match(page, /<meta name="viewport" content="width=device-width, initial-scale=1">/)
    t.match(page, /<title>[A-Z][^<]+<\/title>/)
    t.equal(page.match(/<h1>/g)?.length, 1, name)
    t.equal(page.match(/<main>/g)?.length, 1)
    t.equal(page.match(/<style>/g)?.length, 1)
    t.notMatch(page, /<script|javascript:| style=| on[a-z]+=|https?:\/\/|<link|<img/, `${name} loads and runs nothing`)
    t.notMatch(wordsOf(page), /undefined|\[object|null/, name)
  }
})

t.test('the style is the one that the policy names', async (t) => {
  const style = /<style>([\s\S]*)<\/style>/.exec(all.get('link') ?? '')?.[1] ?? ''
  t.equal(STYLE_SOURCE, `'sha256-${hash('sha256', style, 'base64')}'`)
  t.match(style, /prefers-color-scheme:dark/)
  t.match(style, /:focus-visible\{outline/)
  const size = Number(/font:(\d+)px/.exec(style)?.[1])
  t.ok(size >= 16)
})

t.test('text and grounds differ enough in light and in dark (WCAG AA)', async (t) => {
  const style = /<style>([\s\S]*)<\/style>/.exec(all.get('link') ?? '')?.[1] ?? ''
  const themes = [...style.matchAll(/--ground:[^}]*/g)].map(
    ([text]) => new Map([...text.matchAll(/--([a-z-]+):(#[0-9a-f]{3,6})/g)].map(([, name, color]) => [name, color]))
  )
  t.equal(themes.length, 2)
  for (const theme of themes) {
    const ratio = (a: string, b: string) => contrast(theme.get(a) ?? '', theme.get(b) ?? '')
    for (const ink of ['text', 'soft', 'act', 'good', 'wait', 'bad']) t.ok(ratio(ink, 'card') >= 4.5, ink)
    t.ok(ratio('text', 'ground') >= 4.5)
    t.ok(ratio('on-act', 'act') >= 4.5)
    t.ok(ratio('on-act', 'act-over') >= 4.5)
  }
})

t.test('the link page says who asks for what and whether something is replaced, and has one button', async (t) => {
  const page = all.get('link') ?? ''
  const words = wordsOf(page)
  for (const said of ['Acme Support', HOST, 'Read tickets in Zoho Desk', 'Desk.tickets.READ', 'desk'])
    t.match(words, said)
  t.equal(page.match(/<button/g)?.length, 1)
  t.match(page, /<form method="post"><button type="submit">/)
  t.notMatch(page, /<input/)
  t.notMatch(words, /replaces/)
  t.match(wordsOf(all.get('reconnect') ?? ''), /There is a connection already. Yours replaces it/)
})

t.test('scopes are told in plain words, unknown ones by their parts', async (t) => {
  for (const [scope, words] of [
    ['Desk.tickets.READ', 'Read tickets in Zoho Desk'],
    ['Desk.tickets.WRITE', 'Create and change tickets in Zoho Desk'],
    ['Desk.contacts.ALL', 'Read, create, change and delete contacts in Zoho Desk'],
    ['Desk.basic.READ', 'Read basic information about your organization in Zoho Desk'],
    ['ZohoCRM.modules.contacts.UPDATE', 'Change contacts in Zoho CRM'],
    ['ZohoCRM.modules.ALL', 'Read, create, change and delete the records of all modules in Zoho CRM'],
    ['ZohoBooks.fullaccess.all', 'Full access to Zoho Books'],
    ['ZohoCRM.org_settings.customViews.read', 'Read org settings custom views in Zoho CRM'],
    ['WorkDrive.files.sharing.CREATE', 'Create files sharing in Zoho WorkDrive'],
    ['WorkDrive.files.PURGE', 'Use files in Zoho WorkDrive'],
    ['ZohoCRM', 'Use another permission of Zoho'],
    ['a.b', 'Use another permission of Zoho'],
    ['<b>.x.READ', 'Use another permission of Zoho'],
    ['', 'Use another permission of Zoho']
  ] as const) {
    t.equal(scopeInWords(scope), words, scope)
  }
})

t.test('every result has a page of its own with its code and the flow as reference', async (t) => {
  const titles = RESULT_CODES.map((code) => RESULTS[code].title)
  t.equal(new Set(titles).size, titles.length)
  for (const code of RESULT_CODES) {
    const page = all.get(`result ${code}`) ?? ''
    for (const said of [RESULTS[code].title, `<code>${code}</code>`, FLOW_ID, '<bdi>Acme Support</bdi>']) {
      t.ok(page.includes(said), `${code}: ${said}`)
    }
    t.notMatch(page, /http-equiv/, 'what is over does not look again')
  }
})

t.test('only what is connected is called so', async (t) => {
  const saying = RESULT_CODES.filter((code) => /\bis connected\b/.test(wordsOf(all.get(`result ${code}`) ?? '')))
  t.strictSame(saying, ['connected'])
  t.match(RESULTS.not_durable.title, /Stored, being secured/)
  t.not(RESULTS.not_durable.tone, 'good')
})

t.test('a flow that is not over says so and looks again by itself', async (t) => {
  for (const name of ['open', 'exchanging']) t.match(all.get(name), /<meta http-equiv="refresh" content="4">/)
  t.match(all.get('exchanging'), /being finished/)
})

t.test('a flow without a result is told by its status', async (t) => {
  t.match(resultPage(FLOW_ID, { status: 'done' }), RESULTS.connected.title)
  t.match(resultPage(FLOW_ID, { status: 'failed' }), RESULTS.flow_ended.title)
  t.match(resultPage(FLOW_ID, { status: 'awaiting_confirmation' }), RESULTS.awaiting_confirmation.title)
  t.match(resultPage(FLOW_ID, { status: 'exchanging', result: 'not_durable' }), RESULTS.not_durable.title)
})

t.test('every refusal has a page of its own with its code', async (t) => {
  const titles = REFUSAL_CODES.map((code) => REFUSALS[code].title)
  t.equal(new Set(titles).size, titles.length)
  for (const code of REFUSAL_CODES) {
    t.ok(REFUSALS[code].status >= 400, code)
    t.match(all.get(`refusal ${code}`), `<code>${code}</code>`)
    t.match(all.get(`refusal ${code}`), 'the-request-id')
  }
})

t.test('docs/errors.md explains every code that a page may show, in order', async (t) => {
  const text = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  const [refusals = '', results = ''] = (text.split('## Codes on pages')[1] ?? '').split('| result |')
  const rows = (part: string, row: RegExp) => [...part.matchAll(row)].map(([, code, status]) => [code, status])
  t.strictSame(
    rows(refusals, /^\| `([a-z_]+)` \| (\d{3}) \| .+ \| .+ \|$/gm),
    REFUSAL_CODES.map((code) => [code, String(REFUSALS[code].status)])
  )
  t.strictSame(
    rows(results, /^\| `([a-z_]+)` \| .+ \| .+ \|$/gm).map(([code]) => code),
    RESULT_CODES
  )
})

t.test('addresses of one subscriber count as one, and no two others do', async (t) => {
  for (const [ip, group] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.8', '192.0.2.8'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['2001:DB8:0000:0001:ffff::9', '2001:db8:0:1::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown']
  ] as const) {
    t.equal(addressGroup(ip), group, ip)
  }
})

/** The contrast ratio of two colours (WCAG 2). */
function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (light + 0.05) / (dark + 0.05)
}

function luminance(color: string): number {
  const full = color.length === 4 ? color.replace(/[0-9a-f]/g, '$&$&') : color
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(full.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

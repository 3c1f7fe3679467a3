import { join } from 'node:path'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { until } from '../helpers/program.ts'
import type { Stage } from '../helpers/stage.ts'

/** Chromium says this of every document that is refused; the page itself is looked at. */
const REFUSED_DOCUMENT = /^Failed to load resource: the server responded with a status of \d+ /
const LOOPBACK = new Set(['127.0.0.1', 'localhost'])
const DEADLINE_MS = 15_000

/** A person with a real browser of their own. Whatever no page may do is noted. */
export interface Visitor {
  readonly context: BrowserContext
  /** A new tab. */
  open(url: string): Promise<Page>
  /** Waits for the page with that heading, looks at what holds for every page of ours and takes its picture. */
  arrive(page: Page, heading: string): Promise<void>
  /** The button of the link page, to Zoho. Zoho is then shown on another site than ours, as in life. */
  press(page: Page): Promise<void>
  /** Chooses a user at Zoho and a button. */
  decide(page: Page, options: { user: string; decision?: 'Accept' | 'Reject' }): Promise<void>
  /** Closes the browser and gives everything that was wrong with its pages. */
  leave(): Promise<readonly string[]>
}

export interface VisitorOptions extends BrowserContextOptions {
  /** Where the pictures go, and what their names begin with. */
  readonly pictures: string
  readonly label?: string
  /** Complaints of Chromium that the test means to cause. */
  readonly expected?: RegExp
}

/** A new browser profile that watches every page, request and answer. */
export async function createVisitor(
  browser: Browser,
  stage: Stage,
  { pictures, label = '', expected, ...options }: VisitorOptions
): Promise<Visitor> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(DEADLINE_MS)
  const faults: string[] = []
  const looks: Promise<unknown>[] = []
  const ours = (url: string) => url.startsWith(`${stage.publicUrl}/`)

  context.on('weberror', (error) => faults.push(`error: ${error.error().message}`))
  context.on('console', (message) => {
    const text = message.text()
    if (!REFUSED_DOCUMENT.test(text) && !expected?.test(text)) faults.push(`console ${message.type()}: ${text}`)
  })
  context.on('request', (request) => {
    const url = new URL(request.url())
    if (!LOOPBACK.has(url.hostname)) faults.push(`asks ${url.hostname}`)
    if (ours(url.href) && !request.isNavigationRequest()) faults.push(`loads ${url.pathname}`)
    stage.seen.secrets.push(...url.searchParams.getAll('state'))
    looks.push(
      request.allHeaders().then(
        ({ referer }) => {
          if (!ours(url.href) && referer && ours(referer)) faults.push(`${url.host} is told where the person came from`)
        },
        () => {}
      )
    )
  })
  context.on('response', (response) => {
    if (!ours(response.url()) || response.status() === 303) return
    const record = (text: string) => stage.seen.bodies.push([`browser ${response.status()}`, text])
    // An answer that the person did not wait for has no text.
    looks.push(response.text().then(record, () => {}))
  })

  const visitor: Visitor = {
    context,

    async open(url) {
      const page = await context.newPage()
      await page.goto(url)
      return page
    },

    async arrive(page, heading) {
      await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor()
      await page.waitForLoadState()
      const name = `${label}${heading.toLowerCase().replace(/[^a-z]+/g, '-')}`
      if (await page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth'))
        faults.push(`${name} scrolls sideways`)
      if ((await page.title()) !== heading) faults.push(`${name} has the title ${await page.title()}`)
      await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
    },

    async press(page) {
      await page.getByRole('button', { name: 'Continue to Zoho' }).click()
      await toOtherSite(page)
    },

    async decide(page, { user, decision = 'Accept' }) {
      await page.locator(`input[value="${user}"]`).check()
      await page.getByRole('button', { name: decision }).click()
    },

    async leave() {
      const cookies = await context.cookies(stage.publicUrl)
      stage.seen.secrets.push(...cookies.filter(({ name }) => name === 'ztb-connect').map(({ value }) => value))
      await Promise.all(looks)
      await context.close()
      return faults
    }
  }
  return visitor
}

/** Waits for Zoho's page and shows it on another site: 127.0.0.1 and localhost share no cookies. */
export async function toOtherSite(page: Page): Promise<void> {
  await page.waitForURL(/\/oauth\/v2\/auth\?/)
  const elsewhere = page.url().replace('//127.0.0.1:', '//localhost:')
  await page.evaluate(`location.replace(${JSON.stringify(elsewhere)})`)
  await page.waitForURL((url) => url.hostname === 'localhost')
}

/** Loads the page again until the heading is that; for what ends on the server's clock. */
export async function reloadUntil(page: Page, heading: string): Promise<void> {
  await until(`the page says "${heading}"`, async () => {
    await page.reload()
    return (await page.locator('h1').textContent()) === heading
  })
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { chromium } from '../helpers/chromium.ts'
import { makeLink } from '../helpers/person.ts'
import { until } from '../helpers/program.ts'
import { openStage, type Stage } from '../helpers/stage.ts'
import { startOtherSite } from './other-site.ts'
import { createVisitor, reloadUntil, toOtherSite, type Visitor, type VisitorOptions } from './visitor.ts'

const LINK = 'Connect Zoho for Acme Support'
const CONNECTED = 'Zoho is connected'
const DECLINED = 'Access was declined'
const SPENT = 'This link has already done its work'
const EXPIRED = 'This link has expired'
const WAITING = 'One step is left'
const TOO_LATE = 'The confirmation came too late'
const NOT_CONTINUED = 'This attempt cannot be continued'
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }

/** A test with a person, a connection and a Zoho user of its own. */
interface Case {
  readonly visitor: Visitor
  readonly path: string
  readonly user: string
  readonly stage: Stage
  link(body?: object): Promise<string>
  liveGrants(): Promise<number>
  status(): Promise<string>
}

t.test('people connect in a real Chromium', async (t) => {
  const browser = await chromium(t)
  if (!browser) return
  // To look at the pages: BROWSER_PICTURES=some-folder.
  const pictures = process.env.BROWSER_PICTURES ?? (await mkdtemp(join(tmpdir(), 'ztb-pictures-')))
  if (!process.env.BROWSER_PICTURES) t.teardown(() => rm(pictures, { recursive: true }))
  const site = await startOtherSite(t)
  const config = {
    limits: { public_per_minute: 100_000 },
    return_urls: { portal: `${site.origin}/zoho?from=broker` }
  }
  const knobs = { codes_per_window: 1000 }
  const stage = await openStage(t, { role: 'all', knobs, config })
  // Here links and confirmations end soon.
  const connect = { link_life_ms: 1500, confirm_life_ms: 1500 }
  const hasty = await openStage(t, {
    role: 'all',
    knobs,
    config: { ...config, connect, sweep: { every_ms: 200, visibility_ms: 2000 } }
  })
  t.jobs = 4
  let cases = 0

  const person = (
    name: string,
    { on = stage, ...options }: Partial<VisitorOptions> & { on?: Stage },
    run: (t: Test, own: Case) => Promise<unknown>
  ) => {
    const connection = `c${++cases}`
    t.test(name, async (t) => {
      const path = `/v1/tenants/acme/connections/${connection}`
      await on.simulator.control.createUser({ data_center: 'us', name: connection })
      const visitor = await createVisitor(browser, on, { pictures, ...options })
      try {
        await run(t, {
          visitor,
          stage: on,
          path,
          user: `us/${connection}`,
          link: async (body = {}) => (await makeLink(on, connection, { tenant_label: 'Acme Support', ...body })).url,
          liveGrants: async () =>
            (await on.simulator.control.listGrants({ user: connection, state: 'live' })).grants.length,
          status: async () => (await on.api('GET', path, { as: 'admin' })).body.status
        })
      } finally {
        t.same(await visitor.leave(), [], 'no page did what none may do')
      }
    })
  }

  person('connect: who asks for what, consent, connected', { label: 'connect-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    await own.visitor.arrive(page, LINK)
    t.match(await page.locator('main').innerText(), /Desk\.tickets\.READ/, 'the scopes are named')
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, CONNECTED)
    t.equal(await own.status(), 'active')
    const [cookie] = (await own.visitor.context.cookies(own.stage.publicUrl)).filter(({ name }) => /connect/.test(name))
    t.match(cookie, { httpOnly: true, sameSite: 'Lax', path: '/' }, 'the cookie is for the server alone')
    t.notMatch(page.url(), /code=|state=/, 'nothing secret is left in the address')
  })

  person('deny, and connect after all with the same link', { label: 'deny-' }, async (t, own) => {
    const url = await own.link()
    const page = await own.visitor.open(url)
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user, decision: 'Reject' })
    await own.visitor.arrive(page, DECLINED)
    t.equal(await own.status(), 'pending')
    await page.goto(url)
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, CONNECTED)
    t.equal(await own.status(), 'active')
  })

  person('two tabs: the second one is told, and one grant is left', { label: 'tabs-' }, async (t, own) => {
    const url = await own.link()
    const [one, two] = [await own.visitor.open(url), await own.visitor.open(url)]
    await own.visitor.press(one)
    await own.visitor.press(two)
    await own.visitor.decide(one, { user: own.user })
    await own.visitor.arrive(one, CONNECTED)
    await own.visitor.decide(two, { user: own.user })
    await own.visitor.arrive(two, SPENT)
    await until('one live grant is left', async () => (await own.liveGrants()) === 1)
    t.equal(await own.status(), 'active')
  })

  person('the back button after connecting does no harm', { label: 'back-' }, async (t, own) => {
    const url = await own.link()
    const page = await own.visitor.open(url)
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, CONNECTED)
    const result = page.url()
    await page.goto(url)
    await own.visitor.arrive(page, SPENT)
    await page.goBack()
    await own.visitor.arrive(page, CONNECTED)
    t.equal(page.url(), result)
    t.equal(await own.status(), 'active')
    t.equal(await own.liveGrants(), 1)
  })

  person('a callback that is loaded again is refused on a page that explains', { label: 'replay-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    const callbacks: string[] = []
    page.on('request', (request) => {
      if (request.url().includes('/oauth/callback?')) callbacks.push(request.url())
    })
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, CONNECTED)
    await page.goto(callbacks[0] as string)
    await own.visitor.arrive(page, NOT_CONTINUED)
    t.equal(await own.status(), 'active')
  })

  person('a double click starts at most two attempts and connects once', { label: 'double-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    await page.getByRole('button', { name: 'Continue to Zoho' }).dblclick()
    await toOtherSite(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, CONNECTED)
    t.equal(await own.liveGrants(), 1)
  })

  person('an expired link says so', { on: hasty, label: 'expired-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    await reloadUntil(page, EXPIRED)
    await own.visitor.arrive(page, EXPIRED)
    t.equal(await own.status(), 'pending')
  })

  person('a reconnect says that it replaces, and the new grant serves', { label: 'reconnect-' }, async (t, own) => {
    const go = async () => {
      const page = await own.visitor.open(await own.link())
      const words = await page.locator('main').innerText()
      await own.visitor.press(page)
      await own.visitor.decide(page, { user: own.user })
      await own.visitor.arrive(page, CONNECTED)
      return words
    }
    t.notMatch(await go(), /replace/i)
    const before = (await own.stage.api('POST', `${own.path}/token`)).body.generation
    t.match(await go(), /replace/i, 'the page says what happens to the connection that is there')
    t.ok((await own.stage.api('POST', `${own.path}/token`)).body.generation > before)
  })

  person('a grant waits for its confirmation, then serves', { label: 'confirm-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link({ confirm: true, user_ref: 'user-7' }))
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, WAITING)
    t.equal(await own.status(), 'pending')
    const flow = new URL(page.url()).pathname.split('/').at(-1)
    const body = { user_ref: 'user-7' }
    const confirmed = await own.stage.api('POST', `${own.path}/connect-flows/${flow}/confirm`, { as: 'admin', body })
    t.equal(confirmed.status, 200)
    await reloadUntil(page, CONNECTED)
    t.equal(await own.status(), 'active')
  })

  person('a grant that nobody confirms ends, and its page says so', { on: hasty, label: 'late-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link({ confirm: true, user_ref: 'user-7', expires_in_seconds: 60 }))
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await reloadUntil(page, TOO_LATE)
    await own.visitor.arrive(page, TOO_LATE)
    await until('it is revoked', async () => (await own.liveGrants()) === 0)
    t.equal(await own.status(), 'pending')
  })

  person('the person ends on the registered return URL with the flow and its result', {}, async (t, own) => {
    const page = await own.visitor.open(await own.link({ return_to: 'portal' }))
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await page.waitForURL((url) => url.origin === site.origin)
    const query = new URL(page.url()).searchParams
    t.match(Object.fromEntries(query), { from: 'broker', result: 'connected', connect_flow: /^[0-9a-f]{32}$/ })
  })

  person('the keyboard is enough', {}, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    const focused = () => page.evaluate<string>('document.activeElement.textContent.trim()')
    for (let i = 0; i < 5 && (await focused()) !== 'Continue to Zoho'; i++) await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await toOtherSite(page)
    t.pass('it leads to Zoho')
  })

  person('it fits a phone', { ...PHONE, label: 'phone-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    await own.visitor.arrive(page, LINK)
    const box = await page.getByRole('button', { name: 'Continue to Zoho' }).boundingBox()
    t.ok(box && box.height >= 44 && box.x >= 0 && box.x + box.width <= 390, 'the button can be hit with a thumb')
    t.ok(box && box.y + box.height <= 844, 'and is seen without scrolling')
    await own.visitor.press(page)
    await own.visitor.decide(page, { user: own.user })
    await own.visitor.arrive(page, CONNECTED)
  })

  person('in the dark it is dark', { colorScheme: 'dark', label: 'dark-' }, async (t, own) => {
    const page = await own.visitor.open(await own.link())
    await own.visitor.arrive(page, LINK)
    t.match(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor'), /^rgb\((\d|1\d|2\d),/)
  })

  person('another site can neither press the button nor frame the page', { expected: /frame/i }, async (t, own) => {
    const url = await own.link()
    const page = await own.visitor.open(`${site.origin}/press?link=${encodeURIComponent(url)}`)
    await page.getByRole('button').click()
    await own.visitor.arrive(page, 'Please use the button on our own page')
    await page.goto(`${site.origin}/frame?link=${encodeURIComponent(url)}`)
    const framed = page.frames().find((frame) => frame !== page.mainFrame())
    t.equal(await framed?.locator('button').count(), 0, 'nothing is shown in a frame')
    await page.goto(`${site.origin}/mail?link=${encodeURIComponent(url)}`)
    await page.getByRole('link').click()
    await own.visitor.arrive(page, LINK)
  })
})

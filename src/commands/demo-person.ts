/** Who gives consent at the simulator, and where that user lives. */
export interface Person {
  readonly user: string
  readonly dataCenter: string
}

/**
 * Does what a person does with a connect link in a browser: opens the page, presses the button, consents at Zoho, comes
 * back. Gives the address of the page on which the browser ends. Throws a sentence when a page does not answer as it should.
 */
export async function connectAsPerson(
  linkUrl: string,
  simulatorControl: string,
  { user, dataCenter }: Person,
  decision: 'accept' | 'reject' = 'accept'
): Promise<{ readonly endedAt: string; readonly page: string }> {
  const page = await fetch(linkUrl)
  if (!page.ok) throw new Error(`the link page answered ${page.status}`)
  const pressed = await fetch(linkUrl, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: new URL(linkUrl).origin, 'content-type': 'application/x-www-form-urlencoded' }
  })
  const authorizeUrl = pressed.headers.get('location')
  if (pressed.status !== 303 || !authorizeUrl) throw new Error(`the button answered ${pressed.status}`)
  const cookie = pressed.headers
    .getSetCookie()
    .map((each) => each.split(';')[0])
    .join('; ')
  const consent = await fetch(`${simulatorControl}/consent`, {
    method: 'POST',
    body: JSON.stringify({ authorize_url: authorizeUrl, user, data_center: dataCenter, decision })
  })
  const { location, error } = (await consent.json()) as { location?: string; error?: string }
  if (!location) throw new Error(`the consent page said: ${error}`)
  const back = await fetch(location, { redirect: 'manual', headers: { cookie } })
  const endedAt = back.headers.get('location')
  if (back.status !== 303 || !endedAt) throw new Error(`the callback answered ${back.status}`)
  const last = await fetch(new URL(endedAt, linkUrl))
  return { endedAt: new URL(endedAt, linkUrl).href, page: await last.text() }
}

import { type Html, html } from './html.ts'

interface Page {
  readonly title: string
  readonly body: Html
  /** Seconds after which the browser loads the page again. */
  readonly refreshSeconds?: number
}

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d9dee5, #3a414b); --soft: light-dark(#f5f7f9, #1f242b); --bad: light-dark(#b3261e, #ff8a80) }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1rem; background: light-dark(#fff, #14181d) }
main.narrow { max-width: 28rem; margin: 2rem auto }
h1 { font-size: 1.35rem; line-height: 1.25 } h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem }
small, .soft { opacity: .7 } code { font-size: .85em; overflow-wrap: anywhere } .bad { color: var(--bad) }
.card { display: block; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; margin: .5rem 0; background: var(--soft) }
.card select { display: block; margin: .4rem 0 0 1.6rem; max-width: calc(100% - 1.6rem); font: inherit }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem }
table { border-collapse: collapse; width: 100%; font-size: .85rem; white-space: nowrap }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 } th { background: var(--soft) }
form.inline { display: inline } ul { padding-left: 1.2rem } .row { display: flex; flex-wrap: wrap; gap: .4rem; margin: .4rem 0 }
button { font: inherit; padding: .25rem .7rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--soft); color: inherit; cursor: pointer }
button.main { background: #0b57d0; border-color: #0b57d0; color: #fff } .big button { padding: .6rem 1.4rem; flex: 1 }
`

/** Headers of a page: no script, nothing from elsewhere. Forms may end anywhere, since a consent ends at the app. */
export const PAGE_HEADERS = {
  'content-type': 'text/html;charset=UTF-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
  'cache-control': 'no-store'
} as const

/** A whole page in the simulator's look, readable on a phone. */
export function renderPage({ title, body, refreshSeconds }: Page): string {
  const refresh =
    refreshSeconds === undefined ? undefined : html`<meta http-equiv="refresh" content="${refreshSeconds}">`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${refresh}
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${{ markup: STYLE }}</style>
</head>
<body>
${body}
</body>
</html>
`.markup
}

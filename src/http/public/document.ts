import { hash } from 'node:crypto'
import { type Html, html, trusted } from './html.ts'

const STYLE = `
:root{color-scheme:light dark;--ground:#eef1f6;--card:#fff;--line:#d8dee8;--text:#1b2431;--soft:#4f5b6d;--act:#1a56c4;--act-over:#14449d;--on-act:#fff;--good:#11733b;--wait:#8a5300;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#11151c;--card:#1a202a;--line:#323c4b;--text:#edf1f7;--soft:#aab6c8;--act:#8ab4ff;--act-over:#adcaff;--on-act:#0b1a33;--good:#6fd39a;--wait:#f2bd6b;--bad:#ff9d95}}
*{box-sizing:border-box}
html{font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;-webkit-text-size-adjust:100%}
body{margin:0;min-height:100vh;padding:1.25rem;display:flex;align-items:flex-start;justify-content:center;background:var(--ground);color:var(--text)}
main{width:100%;max-width:34rem;margin-top:clamp(0rem,7vh,5rem);padding:clamp(1.25rem,5vw,2.25rem);background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:0 1px 2px #0000000f,0 10px 30px #00000014;overflow-wrap:anywhere}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;letter-spacing:-.01em;text-wrap:balance}
h2{margin:1.75rem 0 .5rem;font-size:1rem}
p{margin:0 0 .9rem}
.mark{display:block;width:2.75rem;height:2.75rem;margin-bottom:1rem}
.good{color:var(--good)}.wait{color:var(--wait)}.bad{color:var(--bad)}.ask{color:var(--act)}
.soft,dt,dd{color:var(--soft);font-size:.94rem}
ul{margin:0 0 1.5rem;padding:0;list-style:none;border:1px solid var(--line);border-radius:10px}
li{padding:.6rem .9rem}
li+li{border-top:1px solid var(--line)}
code{font:.85rem/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;color:var(--soft)}
li code{display:block}
.note{padding:.75rem .9rem;border-left:4px solid var(--wait);border-radius:4px;background:var(--ground)}
button{width:100%;min-height:3.1rem;padding:.7rem 1.25rem;font:inherit;font-weight:600;color:var(--on-act);background:var(--act);border:0;border-radius:10px;cursor:pointer}
button:hover{background:var(--act-over)}
a{color:var(--act)}
:focus-visible{outline:3px solid var(--act);outline-offset:3px}
form{margin:0 0 1.25rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:1.75rem 0 0;padding-top:1.1rem;border-top:1px solid var(--line)}
dd{margin:0}
@media (max-width:26rem){body{padding:.75rem}main{margin:0}dl{grid-template-columns:1fr;gap:0}dd+dt{margin-top:.5rem}}
@media (forced-colors:active){main{border:1px solid}button{border:1px solid}}
`

/** What the CSP lets style a page: this sheet and nothing else. */
export const STYLE_SOURCE = `'sha256-${hash('sha256', STYLE, 'base64')}'`

/** One whole page. */
export interface Page {
  readonly title: string
  readonly body: Html
  /** Looks again by itself after so many seconds. */
  readonly refreshSeconds?: number
}

/** The page as text: one card, no script, nothing from elsewhere. */
export function documentOf({ title, body, refreshSeconds }: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
${refreshSeconds !== undefined && html`<meta http-equiv="refresh" content="${refreshSeconds}">`}
<title>${title}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`.text
}

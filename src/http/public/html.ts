/** Text that is HTML already. Only `html` and `trusted` make it. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** What may stand in a hole: text, which is escaped, HTML made by us, or nothing. */
export type Hole = string | number | Html | readonly Html[] | undefined | false

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;'
}

/** HTML from a template; every hole is escaped for text and quoted attributes. */
export function html(parts: TemplateStringsArray, ...holes: Hole[]): Html {
  return new Html(parts.map((part, index) => part + fill(holes[index])).join(''))
}

/** Takes a constant of ours as HTML. Never give it anything that came from outside. */
export function trusted(text: string): Html {
  return new Html(text)
}

function fill(hole: Hole): string {
  if (hole === undefined || hole === false) return ''
  if (hole instanceof Html) return hole.text
  if (typeof hole === 'object') return hole.map((each) => each.text).join('')
  return String(hole).replace(/[&<>"'`]/g, (sign) => ESCAPES[sign] as string)
}

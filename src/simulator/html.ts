/** Markup that needs no escaping any more. */
export interface Html {
  readonly markup: string
}

type Part = string | number | Html | readonly Html[] | undefined

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

/** A template tag: texts and numbers are escaped, markup and lists of it are not, undefined is nothing. */
export function html(literals: TemplateStringsArray, ...parts: Part[]): Html {
  return { markup: String.raw({ raw: literals }, ...parts.map(markupOf)) }
}

function markupOf(part: Part): string {
  if (part === undefined) return ''
  if (Array.isArray(part)) return part.map(markupOf).join('\n')
  if (typeof part === 'object') return (part as Html).markup
  return String(part).replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign)
}

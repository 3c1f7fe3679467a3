import type { ControlName } from './control-inputs.ts'
import { controlPath } from './control-path.ts'
import { type Html, html } from './html.ts'

/** A button that calls a control. */
export interface Button {
  readonly control: ControlName
  readonly label: string
  /** What the control takes, as texts. */
  readonly input?: Readonly<Record<string, string>>
}

/** A form of one button; the page comes again afterwards. */
export function button({ control, label, input = {} }: Button): Html {
  const fields = Object.entries(input).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`
  )
  return html`<form class="inline" method="post" action="${controlPath(control)}">${fields}<button>${label}</button></form>`
}

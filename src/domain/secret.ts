import { inspect } from 'node:util'

const HIDDEN = '[secret]'

/** A value that must never be printed: string conversion, JSON and inspection all give `[secret]`. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The clear value. Only the sealer, the upstream adapter and the one token reply may call this. */
  reveal(): string {
    return this.#value
  }

  /** Whether both hold the same value. */
  equals(other: Secret): boolean {
    return this.#value === other.#value
  }

  toString(): string {
    return HIDDEN
  }

  toJSON(): string {
    return HIDDEN
  }

  [inspect.custom](): string {
    return HIDDEN
  }
}

/** Where a setting stands: names of keys, and numbers for places in a list. */
export type Path = readonly (string | number)[]

/** One thing that is wrong. `problem` never holds a value of the configuration. */
export interface Fault {
  readonly path: string
  readonly problem: string
}

/** The configuration cannot be used. `message` has one line per fault. */
export class ConfigError extends Error {
  readonly faults: readonly Fault[]

  constructor(faults: readonly Fault[]) {
    super(faults.map(({ path, problem }) => `${path}: ${problem}`).join('\n'))
    this.name = 'ConfigError'
    this.faults = faults
  }
}

/** Collects what is wrong, so that all of it is reported together. */
export interface Faults {
  add(path: Path, problem: string): void
  /** Marks a place as not worth a look: another fault already explains it. */
  spoil(path: Path): void
  /** Whether nothing is wrong at, above or below any of the paths. */
  clean(...paths: Path[]): boolean
  /** Throws a `ConfigError` if there is any fault. */
  throwIfAny(): void
}

/** An empty collection of faults. */
export function createFaults(): Faults {
  const found: Fault[] = []
  const spoiled: Path[] = []
  const spoil = (path: Path) => void spoiled.push(path)
  return {
    spoil,
    add(path, problem) {
      spoil(path)
      found.push({ path: formatPath(path), problem })
    },
    clean: (...paths) => !paths.some((path) => spoiled.some((other) => overlap(path, other))),
    throwIfAny() {
      if (found.length > 0) throw new ConfigError(found)
    }
  }
}

/** `apps.desk.scopes[0]`; a key with odd characters is quoted, a long one cut. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    const key = /^[\w.~-]{1,128}$/.test(part) ? part : JSON.stringify(part.slice(0, 64))
    return text === '' ? key : `${text}.${key}`
  }, '')
}

function overlap(a: Path, b: Path): boolean {
  const length = Math.min(a.length, b.length)
  return a.slice(0, length).every((part, i) => part === b[i])
}

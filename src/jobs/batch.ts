import type { ConnectionRef } from '../domain/ids.ts'

export interface BatchRun {
  readonly refs: readonly ConnectionRef[]
  /** What is done with each connection. */
  readonly work: (ref: ConnectionRef) => Promise<void>
  /** Connections at a time. */
  readonly concurrency: number
  /** True once this process wants to end: then no further connection is begun. */
  readonly stopping: () => boolean
  /** Hands over what was not begun. */
  readonly putBack: (refs: readonly ConnectionRef[]) => Promise<void>
  /** Called every `everyMs` with what is not begun yet. */
  readonly renew?: { readonly everyMs: number; readonly run: (refs: readonly ConnectionRef[]) => Promise<void> }
}

/** Works through a batch. A failure stops no other connection; the first one is thrown at the end. */
export async function runBatch({ refs, work, concurrency, stopping, putBack, renew }: BatchRun): Promise<void> {
  const unbegun = new Set(refs)
  const failures: unknown[] = []

  async function lane(): Promise<void> {
    for (const ref of unbegun) {
      if (stopping()) return
      unbegun.delete(ref)
      try {
        await work(ref)
      } catch (error) {
        failures.push(error)
      }
    }
  }

  const renewal =
    renew &&
    setInterval(() => {
      // Not renewed means that somebody else may begin it too, which is safe.
      if (unbegun.size > 0) renew.run([...unbegun]).catch(() => {})
    }, renew.everyMs)
  try {
    await Promise.all(Array.from({ length: concurrency }, lane))
  } finally {
    clearInterval(renewal)
  }
  if (unbegun.size > 0) await putBack([...unbegun])
  if (failures.length > 0) throw failures[0]
}

/** What `run` gives, or undefined when `ms` pass first. The run itself goes on. */
export async function byDeadline<T>(run: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms), undefined)
  })
  // When this caller has left, a failure of the run must not count as unhandled.
  run.catch(() => {})
  try {
    return await Promise.race([run, late])
  } finally {
    clearTimeout(timer)
  }
}

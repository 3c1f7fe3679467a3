/** How the jobs are paced. Times in ms. */
export interface JobSettings {
  /** How often the due index is swept. */
  readonly sweepEveryMs: number
  /** How long a claimed connection is hidden from the next sweep. */
  readonly visibilityMs: number
  /** How often the claim of what a running batch has not begun is renewed. */
  readonly renewEveryMs: number
  /** Connections in one job. */
  readonly batchSize: number
  /** Connections claimed at a time. */
  readonly claimLimit: number
  /** A sweep claims nothing while so many connections wait in the refresh queue. */
  readonly backlogLimit: number
  /** Refresh jobs at a time in this process, and connections of each at a time. */
  readonly refreshConcurrency: number
  readonly batchConcurrency: number
  /** Revoke jobs at a time in this process. */
  readonly revokeConcurrency: number
  /** How often every worker process makes sure that the sweep is scheduled. */
  readonly schedulerUpsertEveryMs: number
  /** A job whose worker was silent for so long belongs to whoever finds it. */
  readonly lockDurationMs: number
  /** How often workers look for such jobs. */
  readonly stalledIntervalMs: number
  /** How often a job may be found so before it is given up. */
  readonly maxStalledCount: number
  /** How long `kickRevoke` may take. */
  readonly kickTimeoutMs: number
}

/** The documented defaults. */
export const DEFAULT_JOB_SETTINGS: JobSettings = {
  sweepEveryMs: 2000,
  visibilityMs: 40_000,
  renewEveryMs: 10_000,
  batchSize: 50,
  claimLimit: 500,
  backlogLimit: 2000,
  refreshConcurrency: 4,
  batchConcurrency: 10,
  revokeConcurrency: 5,
  schedulerUpsertEveryMs: 15_000,
  lockDurationMs: 10_000,
  stalledIntervalMs: 5000,
  maxStalledCount: 3,
  kickTimeoutMs: 500
}

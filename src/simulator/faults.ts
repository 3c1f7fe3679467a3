import { type Static, type TProperties, Type } from '@sinclair/typebox'
import { Endpoint } from './endpoint.ts'

const aim = {
  /** Absent: every data center. */
  data_center: Type.Optional(Type.String()),
  /** Default `token`. */
  endpoint: Type.Optional(Endpoint),
  /** Only the next n calls; absent: until cleared. */
  calls: Type.Optional(Type.Integer({ minimum: 1 }))
}
/** True: Zoho does its work (the token is minted, the grant revoked) and only the reply suffers. Default false. */
const after = Type.Optional(Type.Boolean())
const status = Type.Integer({ minimum: 200, maximum: 599 })

const fault = <Kind extends string, Properties extends TProperties>(kind: Kind, properties: Properties) =>
  Type.Object({ kind: Type.Literal(kind), ...aim, ...properties }, { additionalProperties: false })

/** What can go wrong, by kind. Those without `after` carry the real answer, so they always come after the work. */
export const FAULTS = {
  /** Waits before the work, or before the reply; goes together with another fault. */
  latency: fault('latency', { ms: Type.Integer({ minimum: 0, maximum: 600_000 }), after }),
  /** Never sends a byte. */
  hang: fault('hang', { after }),
  /** Sends headers and half of the answer, then nothing. */
  hang_body: fault('hang_body', {}),
  /** Resets the TCP connection. */
  reset: fault('reset', { after }),
  /** A whole HTTP message with half of the JSON. */
  truncated_json: fault('truncated_json', {}),
  /** The HTML page of a proxy. */
  html_502: fault('html_502', { after }),
  /** A status with an empty JSON object, 503 unless told. */
  status: fault('status', { status: Type.Optional(status), after }),
  /** The answer with a padding member that makes it this large. */
  big_body: fault('big_body', { bytes: Type.Integer({ minimum: 1, maximum: 256 * 1024 * 1024 }) }),
  /** The answer as the body of a redirect (302 unless told) to another host. */
  redirect: fault('redirect', {
    status: Type.Optional(Type.Integer({ minimum: 300, maximum: 399 })),
    location: Type.Optional(Type.String())
  }),
  /** 200 with no body. */
  empty: fault('empty', { after }),
  /** Whatever the caller wants to see. */
  raw: fault('raw', {
    status: Type.Optional(status),
    content_type: Type.Optional(Type.String()),
    body: Type.String(),
    after
  })
}

/** A fault to set. */
export type Fault = { [Kind in keyof typeof FAULTS]: Static<(typeof FAULTS)[Kind]> }[keyof typeof FAULTS]
type Latency = Extract<Fault, { kind: 'latency' }>
/** A fault that takes the place of the answer. */
export type BrokenReply = Exclude<Fault, Latency>

interface Place {
  readonly dataCenter: string
  readonly endpoint: Endpoint
}

/** The faults of a simulator. */
export type Faults = ReturnType<typeof createFaults>

/** The faults that are set, in the order of setting; the first that fits a call is used up first. */
export function createFaults() {
  let set: { fault: Fault; callsLeft: number }[] = []

  function take<T extends Fault>({ dataCenter, endpoint }: Place, wanted: (fault: Fault) => fault is T): T | undefined {
    for (const one of set) {
      const { fault } = one
      const fits = (fault.data_center ?? dataCenter) === dataCenter && (fault.endpoint ?? 'token') === endpoint
      if (!fits || !wanted(fault)) continue
      one.callsLeft -= 1
      if (one.callsLeft < 1) set = set.filter((other) => other !== one)
      return fault
    }
    return undefined
  }

  return {
    add: (fault: Fault): void => {
      set.push({ fault, callsLeft: fault.calls ?? Number.POSITIVE_INFINITY })
    },
    takeLatency: (place: Place): Latency | undefined => take(place, (fault) => fault.kind === 'latency'),
    takeBrokenReply: (place: Place): BrokenReply | undefined => take(place, isBrokenReply),
    clear: (dataCenter: string | undefined): void => {
      set = set.filter(({ fault }) => dataCenter !== undefined && fault.data_center !== dataCenter)
    },
    /** `calls` tells how many are left. */
    list: (): Fault[] =>
      set.map(({ fault, callsLeft }) => (Number.isFinite(callsLeft) ? { ...fault, calls: callsLeft } : fault))
  }
}

const isBrokenReply = (fault: Fault): fault is BrokenReply => fault.kind !== 'latency'

/** True if Zoho does its work although the reply will suffer. */
export function comesAfter(fault: BrokenReply): boolean {
  return 'after' in fault ? fault.after === true : ALWAYS_AFTER.has(fault.kind)
}

const ALWAYS_AFTER = new Set<Fault['kind']>(['hang_body', 'truncated_json', 'big_body', 'redirect'])

import { connect, type Socket } from 'node:net'

/** One kind of request, as bytes that are written again and again. */
export type Target = {
  name: string
  port: number
  /** By agent: the requests that its connections send in turn. */
  requests: readonly (readonly Buffer[])[]
  /** How many of what is counted one request asks for; one where it isn't said. */
  each?: number
  /** Whether an answer's body says what it must. Anything else fails the benchmark. */
  isRight: (body: Buffer) => boolean
}

export type Round = {
  requests: number
  /** With those of the run-up. */
  all: number
  seconds: number
  /** Milliseconds of each request. */
  latencies: number[]
  /** One body in so many, for a closer look afterwards. */
  sample: Buffer[]
}

const SAMPLE_EVERY = 500

/**
 * Keeps `connections` busy, each with one request after the other, for `seconds` after a run-up that isn't counted. The
 * load shares the machine with what it measures, so this is the least that speaks HTTP/1.1: requests are ready-made
 * bytes, answers are cut out of the stream by their length.
 */
export const load = async (
  target: Target,
  { connections, runUp, seconds }: { connections: number; runUp: number; seconds: number },
): Promise<Round> => {
  const round: Round = { requests: 0, all: 0, seconds, latencies: [], sample: [] }
  const begin = performance.now() + runUp * 1_000
  const end = begin + seconds * 1_000
  const clients = Array.from({ length: connections }, (_, index) => client(target, index, { begin, end }, round))
  await Promise.all(clients)
  return round
}

const client = async (
  target: Target,
  index: number,
  { begin, end }: { begin: number; end: number },
  round: Round,
): Promise<void> => {
  const requests = target.requests[index % target.requests.length] ?? []
  const socket = connect({ host: '127.0.0.1', port: target.port, noDelay: true })
  try {
    await new Promise<void>((resolve, reject) => {
      let sent = 0
      let at = 0
      const next = () => {
        at = performance.now()
        if (at >= end) return resolve()
        const bytes = requests[sent++ % requests.length]
        if (bytes) socket.write(bytes)
      }
      onAnswers(socket, (status, body) => {
        if (status !== 200 || !target.isRight(body)) {
          return reject(new Error(`${target.name}: an answer is not what it must be: ${status} ${body}`))
        }
        const now = performance.now()
        round.all++
        if (at >= begin && now <= end) {
          round.requests++
          round.latencies.push(now - at)
          if (round.requests % SAMPLE_EVERY === 1) round.sample.push(Buffer.from(body))
        }
        next()
      })
      socket.once('error', reject)
      socket.once('close', () => reject(new Error(`${target.name}: the connection was closed`)))
      socket.setTimeout(10_000, () => reject(new Error(`${target.name}: no answer within 10 s`)))
      socket.once('connect', next)
    })
  } finally {
    socket.destroy()
  }
}

/** Cuts answers out of a stream. Only such with a length are understood; others are an error of this benchmark. */
const onAnswers = (socket: Socket, answer: (status: number, body: Buffer) => void): void => {
  let pending: Buffer = Buffer.alloc(0)
  socket.on('data', chunk => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    const headEnd = pending.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const head = pending.toString('latin1', 0, headEnd)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (length === undefined) return socket.destroy(new Error(`an answer without a length:\n${head}`))
    const bodyEnd = headEnd + 4 + Number(length)
    if (pending.length < bodyEnd) return
    const body = pending.subarray(headEnd + 4, bodyEnd)
    pending = pending.subarray(bodyEnd)
    answer(Number(head.slice(9, 12)), body)
  })
}

/** A POST of JSON as bytes on the wire. */
export const post = (path: string, body: unknown, headers: Record<string, string> = {}): Buffer => {
  const json = JSON.stringify(body)
  const all = {
    host: '127.0.0.1',
    'content-type': 'application/json',
    ...headers,
    'content-length': String(Buffer.byteLength(json)),
  }
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${head.join('')}\r\n${json}`)
}

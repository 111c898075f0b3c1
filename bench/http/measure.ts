import { load, type Round, type Target } from './load.ts'
import { type TenantName, verifyAnswers } from './scene.ts'
import { median, printTable, quantile } from './table.ts'

export type Measured = Measurable & {
  rounds: Round[]
  /** Milliseconds of processor time, for each of what is counted, by round. */
  cpu: number[]
}

type Measurable = {
  target: Target
  /** Its name as that which others are held against. */
  floor?: string
  /** Milliseconds of processor time that its server has used. */
  used: () => number
  /** Whose permits its answers hold. */
  tenant?: TenantName
}

/** Something that isn't measured yet. */
export const measuring = (what: Measurable): Measured => ({ ...what, rounds: [], cpu: [] })

export const measure = async (
  { target, rounds, used, cpu, tenant }: Measured,
  how: Parameters<typeof load>[1],
): Promise<void> => {
  const before = used()
  const round = await load(target, how)
  cpu.push((used() - before) / (round.all * eachOf(target)))
  rounds.push(round)
  if (tenant) await verifyAnswers(tenant, round.sample, target.port)
}

/** How many receipts it has left. */
export const receiptsOf = ({ rounds, target, tenant }: Measured): number =>
  tenant ? rounds.reduce((sum, { all }) => sum + all * eachOf(target), 0) : 0

export const print = (measured: readonly Measured[]): void => {
  const floors = measured.filter(({ floor }) => floor !== undefined)
  const rows = measured.map(each => {
    const rates = ratesOf(each)
    const latencies = latenciesOf(each)
    return [
      each.target.name,
      median(rates).toFixed(0),
      `${Math.min(...rates).toFixed(0)}-${Math.max(...rates).toFixed(0)}`,
      quantile(latencies, 0.5).toFixed(2),
      quantile(latencies, 0.99).toFixed(2),
      (median(each.cpu) * 1_000).toFixed(0),
      ...floors.map(floor => ratio(each, floor).toFixed(2)),
    ]
  })
  printTable(['', 'a second', 'rounds', 'p50 ms', 'p99 ms', 'µs CPU', ...floors.map(({ floor }) => `/ ${floor}`)], rows)
}

/** Decisions are to reach this part of what a Durable Object call that writes one row reaches. */
const AIM = 0.7

export type AtLoad = { connections: number; row: Measured; decision: Measured }

export const printByLoad = (loads: readonly AtLoad[]): void => {
  printTable(
    ['connections', 'one-row calls', 'p50 ms', 'decisions', 'p50 ms', 'µs CPU', 'decisions / one row'],
    loads.map(({ connections, row, decision }) => [
      String(connections),
      median(ratesOf(row)).toFixed(0),
      quantile(latenciesOf(row), 0.5).toFixed(2),
      median(ratesOf(decision)).toFixed(0),
      quantile(latenciesOf(decision), 0.5).toFixed(2),
      (median(decision.cpu) * 1_000).toFixed(0),
      ratio(decision, row).toFixed(2),
    ]),
  )
  const most = loads.toSorted((a, b) => median(ratesOf(b.decision)) - median(ratesOf(a.decision)))[0]
  if (!most) return
  const reached = ratio(most.decision, most.row)
  console.log(
    `\nwhere decisions are most, at ${most.connections} connections: decisions / one-row calls = ${reached.toFixed(2)} ` +
      `(aim: ${AIM} or more, ${reached >= AIM ? 'met' : 'not met'})`,
  )
}

/** Of what is counted, a second, by round. */
const ratesOf = ({ rounds, target }: Measured): number[] =>
  rounds.map(({ requests, seconds }) => (requests * eachOf(target)) / seconds)

const latenciesOf = ({ rounds }: Measured): number[] =>
  rounds.flatMap(({ latencies }) => latencies).sort((a, b) => a - b)

const ratio = (of: Measured, to: Measured): number => {
  const rates = ratesOf(to)
  return median(ratesOf(of).map((rate, round) => rate / (rates[round] ?? 0)))
}

/** How many decisions one request asks for. */
const eachOf = ({ each = 1 }: Target): number => each

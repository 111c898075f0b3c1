import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { Moment } from '../../decision/moment.ts'
import { command } from '../command.ts'
import { CommandError, exit } from '../exit.ts'
import { clientFor, clientOptions } from './client.ts'
import { filterOptions, Page, queryOf, type Receipt, row } from './receipts.ts'

const EVERY_MS = 1_000

/** Receipts as they reach the record, until it is interrupted. */
export const tail = command({
  summary: 'Show receipts as they come, until interrupted',
  args: [],
  options: {
    ...filterOptions,
    json: { type: 'boolean', help: 'write NDJSON, for machines' },
    ...clientOptions,
  },
  examples: ['audit tail --outcome deny'],
  run: async (_, options) => {
    const from = options.since === undefined ? Date.now() - 10_000 : timeOf(options.since)
    const client = await clientFor(options)
    const { json, ...filters } = options
    const known = new Set<string>()
    let since = from
    let stopped = false
    process.once('SIGINT', () => {
      stopped = true
    })
    while (!stopped) {
      const fresh: Receipt[] = []
      let cursor: string | undefined
      do {
        // agents' receipts arrive a little out of order, so a little is always read again
        const at = Math.max(from, since - 60_000)
        const query = queryOf({
          ...filters,
          since: new Date(at).toISOString(),
          limit: 200,
          ...(cursor !== undefined && { cursor }),
        })
        const page = await client.get(`/v1/receipts?${query}`, Page)
        if (!page) throw new CommandError('the Worker has no record of receipts', exit.failed)
        fresh.push(...page.receipts.filter(({ hash, at: made }) => !known.has(hash) && made >= at))
        cursor = page.next
      } while (cursor !== undefined)
      for (const receipt of fresh.reverse()) {
        known.add(receipt.hash)
        since = Math.max(since, receipt.at)
        console.log(json ? JSON.stringify(receipt) : row(receipt).join('  '))
      }
      if (!stopped) await sleep(EVERY_MS)
    }
    return exit.ok
  },
})

const timeOf = (text: string): number => {
  if (!v.is(Moment, text)) throw new CommandError(`--since ${text} is not a time such as 2026-11-25T09:00:00Z`)
  return Date.parse(text)
}

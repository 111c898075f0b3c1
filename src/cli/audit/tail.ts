import { setTimeout as sleep } from 'node:timers/promises'
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
    const client = await clientFor(options)
    const { json, ...filters } = options
    const known = new Set<string>()
    // agents' receipts arrive a little out of order, so a little is always read again
    let since = Date.parse(options.since ?? '') || Date.now() - 10_000
    let stopped = false
    process.once('SIGINT', () => {
      stopped = true
    })
    while (!stopped) {
      const fresh: Receipt[] = []
      let cursor: string | undefined
      do {
        const at = new Date(since - 60_000).toISOString()
        const query = queryOf({ ...filters, since: at, limit: 200, ...(cursor !== undefined && { cursor }) })
        const page = await client.get(`/v1/receipts?${query}`, Page)
        if (!page) throw new CommandError('the Worker has no record of receipts', exit.failed)
        fresh.push(...page.receipts.filter(({ hash, at: made }) => !known.has(hash) && made >= since - 60_000))
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

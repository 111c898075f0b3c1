import { command } from '../command.ts'
import { CommandError, exit } from '../exit.ts'
import { columns } from '../render.ts'
import { clientFor, clientOptions } from './client.ts'
import { filterOptions, Page, queryOf, row } from './receipts.ts'

const HEAD = ['time', 'outcome', 'agent', 'action', 'resource', 'reason', 'evaluation id']

/** Receipts on record, newest first. */
export const list = command({
  summary: 'List receipts, newest first',
  args: [],
  options: {
    ...filterOptions,
    limit: { type: 'string', value: 'N', help: 'how many (default 50)' },
    json: { type: 'boolean', help: 'write NDJSON, for machines' },
    ...clientOptions,
  },
  examples: ['audit list --outcome deny', `audit list --agent 'Agent::"support-bot"' --since 2026-11-25T00:00:00Z`],
  run: async (_, options) => {
    const limit = Number(options.limit ?? 50)
    if (!Number.isInteger(limit) || limit < 1) throw new CommandError(`--limit ${options.limit} is not a number`)
    const client = await clientFor(options)
    const { limit: __, ...filters } = options
    const rows: string[][] = []
    let cursor: string | undefined
    let found = 0
    do {
      const query = queryOf({
        ...filters,
        limit: Math.min(200, limit - found),
        ...(cursor !== undefined && { cursor }),
      })
      const page = await client.get(`/v1/receipts?${query}`, Page)
      if (!page) throw new CommandError('the Worker has no record of receipts', exit.failed)
      for (const receipt of page.receipts) {
        if (options.json) console.log(JSON.stringify(receipt))
        else rows.push(row(receipt))
      }
      found += page.receipts.length
      cursor = page.next
    } while (cursor !== undefined && found < limit)
    if (!options.json) {
      console.log(rows.length === 0 ? 'nothing on record fits' : columns(HEAD, rows))
      if (cursor !== undefined) console.log(`the newest ${found}; --limit shows more`)
    }
    return exit.ok
  },
})

import { readdirSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Wrangler } from '../../src/cli/wrangler.ts'

/** Wrangler's part played in memory, with D1's own SQL. It notes what it is asked to write, and breaks when told to. */
export const createDouble = () => {
  const db = new DatabaseSync(':memory:')
  for (const file of readdirSync('migrations').filter(name => name.endsWith('.sql'))) {
    db.exec(readFileSync(`migrations/${file}`, 'utf8'))
  }
  const kv = new Map<string, string>()
  const writes: string[] = []
  let broken: (write: string) => boolean = () => false
  const write = (what: string) => {
    if (broken(what)) throw new Error(`${what} was cut off`)
    writes.push(what)
  }
  const wrangler: Wrangler = {
    where: 'local',
    async d1(sql) {
      if (sql.startsWith('INSERT')) write('row')
      return db.prepare(sql).all()
    },
    async kvGet(key) {
      return kv.get(key)
    },
    async kvPut(key, value) {
      write(value.startsWith('{"hash"') ? 'pointer' : 'body')
      kv.set(key, value)
    },
  }
  return {
    wrangler,
    kv,
    writes,
    breakAt: (what: string | undefined) => {
      broken = write => write === what
    },
  }
}

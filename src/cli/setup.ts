import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { command } from './command.ts'
import { issuerKey, issuerKeyPath, newKey, writeSecret } from './development.ts'
import { exit } from './exit.ts'
import { paint } from './render.ts'
import { root } from './root.ts'

/** Makes what a local Worker needs and the repository must not hold. Running it again changes nothing. */
export const setup = command({
  summary: 'Make the keys that this machine needs, where there are none yet',
  args: [],
  options: {
    dir: { type: 'string', value: 'DIR', help: 'where .dev.vars goes (default: beside wrangler.toml)' },
  },
  examples: ['setup'],
  run: async (_, { dir = root }) => {
    const path = join(dir, '.dev.vars')
    const there = existsSync(path) ? readFileSync(path, 'utf8') : undefined
    const missing = Object.entries(await variables()).filter(
      ([name]) => !new RegExp(`^\\s*(export\\s+)?${name}\\s*=`, 'm').test(there ?? ''),
    )
    const lines = missing.map(([name, value]) => `${name}=${value}`).join('\n')
    if (there === undefined) writeSecret(path, lines)
    else if (missing.length > 0) appendFileSync(path, `${/(^|\n)$/.test(there) ? '' : '\n'}${lines}\n`)
    const names = missing.map(([name]) => name).join(' and ')
    console.log(missing.length > 0 ? `${paint('green', 'wrote')} ${names} to ${path}` : `kept ${path}`)
    const { made } = await issuerKey()
    console.log(made ? `${paint('green', 'made')} the development issuer, ${issuerKeyPath}` : `kept ${issuerKeyPath}`)
    return exit.ok
  },
})

const variables = async (): Promise<Record<string, string>> => ({
  LOCAL: '"true"',
  // Single quotes keep the JSON's own.
  KEY_ENCRYPTION_KEY: `"${randomBytes(32).toString('base64url')}"`,
  SIGNING_KEYS: `'${JSON.stringify({ keys: [await newKey()] })}'`,
})

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'
import { compileFixtures } from './test/bundles.ts'

const signingKey = () => generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })

const SIGNING_KEYS = JSON.stringify({ keys: [signingKey(), { ...signingKey(), published_only: true }] })
// Looked for here too: wrangler warns of a secret that it doesn't find.
process.env.SIGNING_KEYS = SIGNING_KEYS
const KEY_ENCRYPTION_KEY = randomBytes(32).toString('base64url')
process.env.KEY_ENCRYPTION_KEY = KEY_ENCRYPTION_KEY

const bindings = {
  TEST_MIGRATIONS: await readD1Migrations('./migrations'),
  // as a binding carries it
  TEST_BUNDLES: JSON.parse(
    JSON.stringify(await compileFixtures('acme', 'approvals', 'certification', 'bank', 'desk', 'truth', 'aarm')),
  ),
  TEST_FULL: process.env.FULL ?? '',
  ORIGIN: 'https://pdp.example.com',
  LOCAL: 'true',
  // how large a record the tests of its queries make
  TEST_RECEIPTS: process.env.TEST_RECEIPTS ?? '20000',
  // how many links the log's test of load takes
  TEST_LINKS: process.env.TEST_LINKS ?? '20000',
  SIGNING_KEYS,
  KEY_ENCRYPTION_KEY,
}

// Nothing is judged by time; these only end what hangs, on a machine that may be busy with other things.
const patient = { testTimeout: 600_000, hookTimeout: 300_000 }

// Much of a file's time is spent waiting for a workerd to start, so none of the cores is left out.
const maxWorkers = availableParallelism()

export default defineConfig({
  test: {
    maxWorkers,
    projects: [
      {
        plugins: [
          cloudflareTest({
            main: './test/worker.ts',
            wrangler: { configPath: './wrangler.toml' },
            miniflare: { bindings },
          }),
        ],
        test: {
          name: 'workerd',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.node.test.ts'],
          setupFiles: ['./test/setup.ts'],
          ...patient,
        },
      },
      { test: { name: 'node', include: ['test/**/*.node.test.ts'], ...patient } },
    ],
  },
})

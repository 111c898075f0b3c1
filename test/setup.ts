import { applyD1Migrations, type D1Migration } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Fixture } from './bundles.ts'

declare global {
  namespace Cloudflare {
    interface Env {
      TEST_MIGRATIONS: D1Migration[]
      /** By the folder's name under test/fixtures. */
      TEST_BUNDLES: Record<string, Fixture>
      TEST_RECEIPTS: string
      TEST_LINKS: string
    }
  }
}

await applyD1Migrations(env.DB, env.TEST_MIGRATIONS)

import { env, exports } from 'cloudflare:workers'
import { expect, it } from 'vitest'
import { contentHash } from '../src/durable/hash.ts'
it('runs', async () => {
  expect(contentHash({ a: 1 })).toHaveLength(43)
  expect(env.DB).toBeDefined()
  const r = await exports.default.fetch('http://x/')
  expect(await r.text()).toBe('ok')
})

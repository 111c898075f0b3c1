import fc from 'fast-check'
import { base64url } from 'jose'
import { expect, it } from 'vitest'
import { sha256 } from '../../src/durable/hash.ts'

const digest = async (text: string) =>
  base64url.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))

it('is that of the bytes, for any text after any other', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 300 })
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 5 }), async texts => {
      expect(texts.map(sha256)).toEqual(await Promise.all(texts.map(digest)))
    }),
    { numRuns: 300 },
  )
})

it.each(['a', 'é', '€', '𝄞', '\ud834'])('is that of long texts of %j too', async unit => {
  for (const length of [5_460, 5_461, 5_462, 16_384, 50_000]) {
    const text = unit.repeat(length).slice(0, length)
    expect(sha256(text)).toBe(await digest(text))
  }
})

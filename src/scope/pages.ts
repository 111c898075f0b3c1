import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { type Refusal, refusal } from '../decision/refusal.ts'
import { contentHash } from '../durable/hash.ts'
import { MAX_RESULTS, type Query } from './query.ts'

/** Where a search goes on, and under which bundle. */
export type Position = { bundle: { seq: number; hash: string }; at: number; limit: number }

/** A token lives so long: it must not keep policies in force that were replaced long ago. */
const LIFE_MS = 10 * 60_000

const Claims = v.strictObject({
  v: v.literal(1),
  query: v.string(),
  seq: v.number(),
  hash: v.string(),
  at: v.number(),
  limit: v.number(),
  until: v.number(),
})

/** Page tokens of one caller in one tenant: signed by a key that only the Worker derives, so nobody makes up a position. */
export const pagesOf = (secret: string, of: { tenant: string; caller: string; now: number }) => {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'countersign page token', 32))
  const mac = (claims: string) =>
    createHmac('sha256', key)
      .update(JSON.stringify([of.tenant, of.caller, claims]))
      .digest()

  const write = (query: Query, { bundle, at, limit }: Position): string => {
    const claims = { v: 1, query: hashOf(query), ...bundle, at, limit, until: of.now + LIFE_MS }
    const text = Buffer.from(JSON.stringify(claims)).toString('base64url')
    return `${text}.${mac(text).toString('base64url')}`
  }

  /** The position that the query's token names; `undefined` where it has none. */
  const read = (query: Query): Position | Refusal | undefined => {
    const { token, limit } = query.page ?? {}
    if (token === undefined) return undefined
    const [text = '', signature = ''] = token.split('.', 2)
    const given = Buffer.from(signature, 'base64url')
    const expected = mac(text)
    const pointer = '/page/token'
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      return refusal(400, 'invalid_page_token', { pointer })
    }
    const claims = v.parse(Claims, JSON.parse(Buffer.from(text, 'base64url').toString()))
    if (claims.until <= of.now) return refusal(400, 'invalid_page_token', { pointer, detail: 'it has lapsed' })
    if (claims.query !== hashOf(query)) return refusal(400, 'page_mismatch', { pointer })
    if (limit !== undefined && limitOf(limit) !== claims.limit) {
      return refusal(400, 'page_mismatch', { pointer: '/page/limit' })
    }
    return { bundle: { seq: claims.seq, hash: claims.hash }, at: claims.at, limit: claims.limit }
  }

  return { write, read }
}

export const limitOf = (asked: number | undefined): number => Math.min(asked ?? MAX_RESULTS, MAX_RESULTS)

/** All of the query but where it stands. */
const hashOf = ({ page, ...query }: Query): string => contentHash({ ...query, properties: page?.properties ?? null })

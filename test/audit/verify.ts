import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { StoredReceipt } from '../../src/audit/receipt.ts'

const hash = (text: string | undefined) =>
  createHash('sha256')
    .update(text ?? '')
    .digest('base64url')

/** The receipts that don't fit a chain from its beginning, worked out from the design alone. */
export const wrongLinks = (chain: string, receipts: StoredReceipt[]): number[] => {
  let prev = '-'
  let before = 0
  return receipts.flatMap((receipt, index) => {
    const { seq, kind, at, bodyCommit } = receipt
    const link = { v: 1, chain, seq, prev, kind, at, bodyCommit }
    const body = JSON.parse(receipt.body)
    const committed = Object.entries(JSON.parse(receipt.secrets)).every(
      ([name, secret]) => body[name] === hash(canonicalize(Object.values(secret as object))),
    )
    const fits =
      seq === index + 1 &&
      at >= before &&
      receipt.prev === prev &&
      receipt.hash === hash(canonicalize(link)) &&
      bodyCommit === hash(canonicalize(body)) &&
      committed
    prev = receipt.hash
    before = at
    return fits ? [] : [seq]
  })
}

import { cosignedAt, isOf, readSignatures, readVkey, signatureLine } from './note.ts'

export type CosignReply =
  | { kind: 'accepted'; size: number; witnesses: string[] }
  /** There is no checkpoint of that size, or not any more. */
  | { kind: 'unknown_checkpoint' }
  /** No line is a valid cosignature of a witness that the tenant trusts. */
  | { kind: 'not_cosigned' }

/**
 * Keeps what witnesses sign of a checkpoint of ours (C2SP tlog-witness: signature lines of others are ignored). Of one
 * witness the newest statement stands.
 */
export const cosign = async (
  storage: DurableObjectStorage,
  size: number,
  lines: string,
  trusted: readonly string[],
): Promise<CosignReply> => {
  const { sql } = storage
  const [checkpoint] = sql.exec<{ text: string }>('SELECT text FROM checkpoint WHERE size = ?', size)
  if (!checkpoint) return { kind: 'unknown_checkpoint' }
  const witnesses: string[] = []
  for (const signature of readSignatures(lines) ?? []) {
    const witness = trusted.map(readVkey).find(verifier => verifier && isOf(signature, verifier))
    if (!witness || (await cosignedAt(checkpoint.text, signature, witness)) === undefined) continue
    sql.exec(
      'INSERT OR REPLACE INTO cosignature (size, witness, line) VALUES (?, ?, ?)',
      size,
      witness.name,
      signatureLine(signature),
    )
    witnesses.push(witness.name)
  }
  return witnesses.length > 0 ? { kind: 'accepted', size, witnesses } : { kind: 'not_cosigned' }
}

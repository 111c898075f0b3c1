/**
 * Takes all that an object remembers of a person who was erased, and that isn't on record: what they asked and waited
 * for, what they may do. The chain stays, under a name that nobody can read any more; so does what is owed to others.
 */
export const retire = (storage: DurableObjectStorage): void =>
  storage.transactionSync(() => {
    for (const table of REMEMBERED) storage.sql.exec(`DELETE FROM ${table}`)
  })

const REMEMBERED = [
  'approval',
  'meter',
  'pending',
  'redeemable',
  'reply',
  'reservation',
  'session',
  'session_cut',
  'session_step',
  'spent',
  'step_up',
  'wait',
]

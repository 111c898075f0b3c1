import * as v from 'valibot'

const MEANT = 'an entity such as Agent::"support-bot"'
const UID = /^.*::"(?:[^"\\]|\\.)*"$/su

const text = (form: RegExp) => v.pipe(v.string(), v.maxLength(1_024), v.regex(form, MEANT))

/** An entity in a query, as Cedar writes it. One that is written otherwise would find nothing, as if there were nothing. */
export const EntityText = text(UID)

/** Whose chain a receipt is on: an agent, or the name of a chain that is no one agent's. */
export const ChainText = text(
  new RegExp(`${UID.source}|^(?:record|kill-switches|(?:unattributed|searches)/\\d+)$`, UID.flags),
)

import type { Place } from './source-text.ts'

/** Something that is wrong, or may be, in a policy folder. */
export type Diagnostic = {
  severity: 'error' | 'warning'
  message: string
  hint?: string
  /** The policy that it is about. */
  policy?: string
  /** A folder has no place where something is missing. */
  place?: Place
}

type More = { hint?: string | undefined; policy?: string | undefined; place?: Place | undefined }

export const error = (message: string, more: More = {}): Diagnostic => diagnostic('error', message, more)

export const warning = (message: string, more: More = {}): Diagnostic => diagnostic('warning', message, more)

const diagnostic = (severity: Diagnostic['severity'], message: string, { hint, policy, place }: More): Diagnostic => ({
  severity,
  message,
  ...(hint !== undefined && { hint }),
  ...(policy !== undefined && { policy }),
  ...(place !== undefined && { place }),
})

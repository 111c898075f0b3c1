import * as wasm from '@cedar-policy/cedar-wasm/nodejs'
import type { EntityJson, PolicyJson, PolicySetJson, SchemaJson } from '../../cedar/json.ts'
import { offsetOfByte, type Range } from './source-text.ts'

/**
 * Cedar's own parser and validator. The JSON formats are described by its types and by ours; both describe one format,
 * and this is the border where the one is taken for the other.
 */

/** What Cedar found. `range` counts UTF-16 units in the text that it was given; for a link, in its template's. */
export type Finding = { message: string; hint?: string; range?: Range; policy?: string }

export type Parsed<T> = { ok: true; json: T; warnings: Finding[] } | { ok: false; errors: Finding[] }

/** One policy, or one template. */
export const parsePolicy = (text: string, template: boolean): Parsed<PolicyJson> => {
  const answer = template ? wasm.templateToJson(text) : wasm.policyToJson(text)
  if (answer.type === 'failure') return { ok: false, errors: findings(answer.errors, text) }
  return { ok: true, json: answer.json as unknown as PolicyJson, warnings: [] }
}

export const parseSchema = (text: string): Parsed<SchemaJson> => {
  const answer = wasm.schemaToJsonWithResolvedTypes(text)
  if (answer.type === 'failure') return { ok: false, errors: findings(answer.errors, text) }
  return { ok: true, json: answer.json as unknown as SchemaJson, warnings: findings(answer.warnings, text) }
}

/** Texts by policy id. */
export type PolicyTexts = {
  policies: Readonly<Record<string, string>>
  templates: Readonly<Record<string, string>>
  links: NonNullable<PolicySetJson['templateLinks']>
}

/** Strict validation. */
export const validatePolicies = (schema: string, texts: PolicyTexts): { errors: Finding[]; warnings: Finding[] } => {
  const answer = wasm.validate({
    schema,
    policies: {
      staticPolicies: { ...texts.policies },
      templates: { ...texts.templates },
      templateLinks: texts.links.map(link => ({ ...link, values: { ...link.values } })),
    },
  })
  const template = new Map(texts.links.map(link => [link.newId, link.templateId]))
  const textOf = (id: string) => texts.policies[id] ?? texts.templates[template.get(id) ?? id] ?? ''
  const byPolicy = (list: readonly wasm.ValidationError[]) =>
    list.flatMap(({ policyId, error }) =>
      findings([error], textOf(policyId)).map(finding => ({ policy: policyId, ...finding })),
    )
  if (answer.type === 'failure') return { errors: findings(answer.errors, ''), warnings: [] }
  return {
    errors: byPolicy(answer.validationErrors),
    warnings: [...byPolicy(answer.validationWarnings), ...findings(answer.otherWarnings, '')],
  }
}

export const checkEntities = (schema: string, entities: readonly EntityJson[]): Finding[] => {
  const answer = wasm.checkParseEntities({ schema, entities: entities as unknown as wasm.Entities })
  return answer.type === 'failure' ? findings(answer.errors, '') : []
}

const findings = (errors: readonly wasm.DetailedError[], text: string): Finding[] =>
  errors.flatMap(({ message, help, sourceLocations, related }) => {
    const location = sourceLocations?.[0]
    const hint = help ?? location?.label
    return [
      {
        message: message.replace(
          /^(failed to parse [\w ]+ from string|error parsing schema|for policy `[^`]*`)[:,] /,
          '',
        ),
        ...(hint && { hint }),
        ...(location && {
          range: { start: offsetOfByte(text, location.start), end: offsetOfByte(text, location.end) },
        }),
      },
      ...findings(related ?? [], text),
    ]
  })

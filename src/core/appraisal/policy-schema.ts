/**
 * JSON Schemas for editors and other programs, made from the same tables that parse: what the schema
 * accepts and what we accept can't drift apart.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import type { EvidenceFormat } from '../evidence/common/format.ts'
import { REFERENCE_VALUES_SCHEMA } from '../reference-values/reference-values.ts'
import { POLICY_HEAD, REFERENCE_VALUES } from './policy.ts'
import type { PolicyField } from './policy-field.ts'

const DRAFT = 'https://json-schema.org/draft/2020-12/schema'

/** The schema of policies for one format. */
export function policySchema(format: EvidenceFormat): Json {
  const fields = { referenceValues: REFERENCE_VALUES, ...format.policyFields }
  const properties = Object.entries(fields).map(([name, type]) => [name, fieldSchema(type)])
  return {
    $schema: DRAFT,
    title: `vouchsafe appraisal policy for ${format.id} evidence`,
    type: 'object',
    properties: {
      $schema: { type: 'string' },
      id: POLICY_HEAD.id.schema,
      format: { const: format.id },
      description: POLICY_HEAD.description.schema,
      ...(Object.fromEntries(properties) as Record<string, Json>),
    },
    required: ['id', 'format', 'description', ...Object.keys(fields)],
    additionalProperties: false,
  }
}

/** The schema of a set of reference values. */
export function referenceValuesSchema(): Json {
  const set = REFERENCE_VALUES_SCHEMA as Readonly<Record<string, Json>>
  const properties = set['properties'] as Readonly<Record<string, Json>>
  return {
    $schema: DRAFT,
    title: 'vouchsafe reference values',
    ...set,
    properties: { $schema: { type: 'string' }, ...properties },
  }
}

function fieldSchema({ doc, type, unwaivable }: PolicyField): Json {
  const require: Json = {
    type: 'object',
    properties: { require: type.schema },
    required: ['require'],
    additionalProperties: false,
  }
  if (unwaivable) return { description: doc, ...require }
  const waive: Json = {
    type: 'object',
    properties: { waive: { type: 'string', minLength: 1, maxLength: 500, pattern: '\\S' } },
    required: ['waive'],
    additionalProperties: false,
  }
  return { description: doc, oneOf: [require, waive] }
}

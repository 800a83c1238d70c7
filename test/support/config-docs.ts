/** The table of settings in docs/configuration.md, from the schema itself. */
import { ServiceConfig } from '../../src/main/config.ts'

interface Schema {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly default?: unknown
  readonly description?: string
}

/** Markdown rows, one per setting, in the order of the schema. */
export function settingsTable(): string {
  const rows = rowsOf(ServiceConfig, '')
  return ['| setting | value | default | |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function rowsOf(schema: Schema, prefix: string): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    if (name === '$schema') return []
    const path = prefix + name
    const list = member.items?.properties !== undefined
    const own = member.properties === undefined ? [rowOf(path, member)] : []
    const inside = list ? rowsOf(member.items ?? {}, `${path}[].`) : rowsOf(member, `${path}.`)
    return [...own, ...inside]
  })
}

function rowOf(path: string, schema: Schema): string {
  const fallback = schema.default === undefined ? '–' : `\`${JSON.stringify(schema.default)}\``
  return `| \`${path}\` | ${kindOf(schema)} | ${fallback} | ${schema.description ?? ''} |`
}

function kindOf({ type, enum: words, items }: Schema): string {
  if (words !== undefined) return words.map((word) => `\`${String(word)}\``).join(', ')
  if (items !== undefined)
    return `list of ${items.properties === undefined ? kindOf(items) : 'objects'}`
  return type ?? 'any'
}

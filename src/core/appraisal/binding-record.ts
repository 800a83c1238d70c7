/** What evidence was to be bound to, as bytes: a part of what the log keeps. @packageDocumentation */
import { fromHex, toHex } from '../bytes/hex.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { type JsonNode, jsonNode } from '../sealing/json.ts'
import { type DeviceEvidence, MAX_DEVICES } from '../sealing/statement.ts'
import type { Binding } from './binding.ts'

const BLAME = { code: 'ERR_STATEMENT_MALFORMED', at: 'binding' } as const
const MAX_TEXT = 64 * 1024

/** The binding as canonical JSON: binary in hex, the statement as its exact text. */
export function encodeBinding({ nonce, reportData }: Binding): Uint8Array<ArrayBuffer> {
  return canonicalBytes({
    nonce: encodeWanted(nonce),
    report_data: 'statement' in reportData ? encodeStated(reportData) : encodeWanted(reportData),
  })
}

/**
 * The inverse of {@link encodeBinding}.
 *
 * @throws {@link VouchsafeError} `ERR_STATEMENT_MALFORMED` at `binding…` for any other shape.
 */
export function decodeBinding(bytes: Uint8Array): Binding {
  const root = jsonNode(parseJson(decodeUtf8(bytes, BLAME), BLAME), BLAME.code, BLAME.at)
  const { nonce, report_data } = root.object(['nonce', 'report_data'])
  return {
    nonce: decodeWanted(nonce.object([], ['require', 'unchecked']), nonce),
    reportData: decodeReportData(report_data),
  }
}

type Wanted = Binding['nonce']
type Stated = Extract<Binding['reportData'], { readonly statement: string }>

function encodeWanted(part: Wanted): Json {
  return 'require' in part ? { require: toHex(part.require) } : { unchecked: part.unchecked }
}

function encodeStated(part: Stated): Json {
  const { statement, devices } = part
  return {
    statement,
    ...(devices !== undefined && {
      devices: devices.map(({ evidence, kind }) => ({ evidence, kind })),
    }),
    ...('index' in part && { index: part.index }),
  }
}

function decodeReportData(node: JsonNode): Binding['reportData'] {
  const names = ['require', 'unchecked', 'statement', 'devices', 'index'] as const
  const { statement, devices, index, ...wanted } = node.object([], names)
  if (!statement.present && !devices.present && !index.present) return decodeWanted(wanted, node)
  if (wanted.require.present || wanted.unchecked.present)
    node.fail('a statement, or something else')
  const text = statement.text(/^/, MAX_TEXT)
  if (!devices.present && !index.present) return { statement: text }
  const list = devices.array(MAX_DEVICES).map(decodeDevice)
  if (!index.present) return { statement: text, devices: list }
  return { statement: text, devices: list, index: index.integer() }
}

function decodeDevice(node: JsonNode): DeviceEvidence {
  const { evidence, kind } = node.object(['evidence', 'kind'])
  return { evidence: evidence.digest(), kind: kind.text(/^[a-z0-9-]{1,64}$/) }
}

function decodeWanted(
  { require, unchecked }: Readonly<Record<'require' | 'unchecked', JsonNode>>,
  node: JsonNode,
): Wanted {
  if (require.present === unchecked.present) node.fail('one of require, unchecked and statement')
  if (unchecked.present) return { unchecked: unchecked.text(/^/, MAX_TEXT) }
  return { require: fromHex(require.text(/^/, MAX_TEXT), { ...BLAME, at: require.at }) }
}

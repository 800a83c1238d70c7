/**
 * What a client decided to trust, beforehand and by itself: policies, reference values, the log's
 * keys. Nothing in it comes from the service it is used against.
 *
 * @packageDocumentation
 */
import { type Policy, parsePolicy } from '../core/appraisal/policy.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../core/endorsements/anchors.ts'
import { VouchsafeError } from '../core/errors.ts'
import { canBeNamed, FORMAT_IDS, type FormatId } from '../core/evidence/common/format-ids.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import {
  parseReferenceValues,
  type ReferenceValueSet,
} from '../core/reference-values/reference-values.ts'
import { type JsonNode, jsonNode } from '../core/sealing/json.ts'
import { MAX_DEVICES } from '../core/sealing/statement.ts'
import { type NoteKey, parseVkey } from '../core/tlog/note-key.ts'
import type { LogIdentity } from '../core/tlog/open.ts'

/** How old the log's newest signed time may be; only keys that sign times can answer. */
export type CheckpointAge = { readonly require: number } | { readonly waive: string }

export interface ClientPin {
  /** At least one; at most one per format. */
  readonly policies: readonly Policy[]
  readonly referenceValues: readonly ReferenceValueSet[]
  readonly log: LogIdentity
  /** URL above the log's `checkpoint`; `undefined` if it is `/log` of the gateway. */
  readonly logUrl: string | undefined
  /** Seconds. */
  readonly checkpointAge: CheckpointAge
  readonly anchors: TrustAnchors
  /** `sha256:<hex>` of the manifest that each model must have; a model not named may have any. */
  readonly manifests: ReadonlyMap<string, string>
  /** How many devices of a format there must be at least; empty if none need be. */
  readonly devices: ReadonlyMap<FormatId, number>
  /** Seconds after which an enclave is verified again, over a fresh nonce. */
  readonly verifyEvery: number
}

const CODE = 'ERR_CONFIG_INVALID'
const VERIFY_EVERY = 600

/**
 * Parses a pin, from a file that the user got from whoever they trust.
 *
 * @param value - From `JSON.parse`.
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, `ERR_POLICY_INVALID`,
 *   `ERR_REFERENCE_VALUES_INVALID`, `ERR_LOG_KEY_INVALID`; for unknown members too.
 */
export async function parsePin(value: unknown, hasher: Hasher): Promise<ClientPin> {
  const root = jsonNode(value, CODE, 'pin').object(
    ['version', 'policies', 'reference_values', 'log'],
    ['manifests', 'devices', 'unsafe_simulated_roots', 'verify_every'],
  )
  if (root.version.integer() !== 1) root.version.fail('1')
  const policies = root.policies.array(16).map(({ value: policy }) => parsePolicy(policy as Json))
  const formats = policies.map(({ format }) => format)
  if (policies.length === 0) root.policies.fail('at least one policy')
  if (new Set(formats).size < formats.length) root.policies.fail('one policy per format')
  const simulated = root.unsafe_simulated_roots.present
    ? root.unsafe_simulated_roots.array(8).map((node) => node.hex(32))
    : []
  return {
    policies,
    referenceValues: root.reference_values
      .array(64)
      .map(({ value: set }) => parseReferenceValues(set as Json)),
    ...(await parseLog(root.log, hasher)),
    anchors: { ...VENDOR_ANCHORS, simulated },
    manifests: parseManifests(root.manifests),
    devices: parseDevices(root.devices),
    verifyEvery: root.verify_every.present ? root.verify_every.integer() : VERIFY_EVERY,
  }
}

async function parseLog(
  node: JsonNode,
  hasher: Hasher,
): Promise<Pick<ClientPin, 'log' | 'logUrl' | 'checkpointAge'>> {
  const { origin, keys, max_age, url } = node.object(['origin', 'keys', 'max_age'], ['url'])
  const texts = keys.array(8).map((key) => key.text(/^\S+$/, 4096))
  const parsed: NoteKey[] = await Promise.all(texts.map(async (text) => parseVkey(text, hasher)))
  if (parsed.length === 0) keys.fail('at least one key')
  return {
    log: { origin: origin.text(/^\S+$/), keys: parsed },
    logUrl: url.present ? parseUrl(url) : undefined,
    checkpointAge: parseAge(max_age),
  }
}

function parseUrl(node: JsonNode): string {
  const text = node.text(/^https?:\/\/[^\s?#]+$/, 1024)
  if (!URL.canParse(text)) node.fail('a URL')
  return text.replace(/\/+$/, '')
}

function parseAge(node: JsonNode): CheckpointAge {
  const { require, waive } = node.object([], ['require', 'waive'])
  if (require.present === waive.present) node.fail('either {"require": seconds} or {"waive": why}')
  if (require.present) return { require: require.integer() }
  return { waive: waive.text(/\S/, 500) }
}

function parseManifests(node: JsonNode): ReadonlyMap<string, string> {
  if (!node.present) return new Map()
  const { value } = node
  if (typeof value !== 'object' || value === null) node.fail('an object')
  const models = Object.keys(value)
  const members = node.object(models)
  return new Map(models.map((model) => [model, memberOf(members, model).digest()]))
}

/** A name that no device has would be a count that nobody ever asks for. */
function parseDevices(node: JsonNode): ReadonlyMap<FormatId, number> {
  if (!node.present) return new Map()
  const formats = FORMAT_IDS.filter(canBeNamed)
  const members = node.object([], formats)
  const counts = formats.flatMap((format): readonly (readonly [FormatId, number])[] => {
    const count = members[format]
    if (!count.present) return []
    const least = count.integer()
    if (least === 0 || least > MAX_DEVICES) count.fail(`from 1 to ${MAX_DEVICES}`)
    return [[format, least]]
  })
  if (counts.length === 0) node.fail('at least one kind of device')
  return new Map(counts)
}

function memberOf(members: Readonly<Record<string, JsonNode>>, name: string): JsonNode {
  const node = members[name]
  if (node === undefined) throw new VouchsafeError({ code: CODE, at: 'pin' }, `no ${name}`)
  return node
}

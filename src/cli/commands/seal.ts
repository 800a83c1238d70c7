/** `vouchsafe seal`: weights that only a vouched-for enclave can open. @packageDocumentation */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { Json } from '../../core/encoding/canonical-json.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { VouchsafeError } from '../../core/errors.ts'
import { type KeyId, keyUri, keyVersionUri, parseKeyUri } from '../../core/keys/uri.ts'
import { DATA_KEY_SIZE, fileSecret } from '../../core/weights/file-key.ts'
import { DEFAULT_SEGMENT } from '../../core/weights/floe.ts'
import {
  encodeManifest,
  MANIFEST_SCHEMA,
  type ManifestFile,
  manifestDigest,
} from '../../core/weights/manifest.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { systemRandom } from '../../drivers/random.ts'
import { sealFile } from '../../drivers/weights/files.ts'
import { createSegmentCipher, startDigest } from '../../drivers/weights/node.ts'
import { SEALED_SUFFIX } from '../../enclave/weights/open.ts'
import { type BrokerClient, keyPath, openBroker } from '../broker-client.ts'
import type { CliContext } from '../context.ts'
import { readInput } from '../inputs.ts'
import { openKeyFile } from '../key-file.ts'
import { createDirectory } from '../new-directory.ts'
import { jsonText } from '../output.ts'
import { type Progress, startProgress } from '../progress.ts'
import { badAnswer, type ServiceFlags } from '../service-client.ts'
import { findSources, type Source } from '../sources.ts'
import { usage } from '../usage.ts'

interface SealFlags extends ServiceFlags {
  readonly model: string
  /** Not `version`: that flag belongs to the program. */
  readonly modelVersion: string
  readonly key: string
  readonly out: string
  readonly keyFile?: string
  readonly policy?: string
  readonly json?: boolean
}

/** The data key, and the version it has or will have in the broker. */
interface DataKey {
  readonly material: Uint8Array
  readonly version: number
}

/** Adds the command. */
export function register(program: Command, context: CliContext): void {
  program
    .command('seal')
    .description('seal model files, so that only an enclave that is vouched for can open them')
    .argument('<path...>', 'files, or directories with all that is in them')
    .requiredOption('--model <name>', 'name of the model')
    .requiredOption('--model-version <version>', 'its version')
    .requiredOption('--key <uri>', 'kbs:///namespace/type/name')
    .option('--out <directory>', 'where the sealed files and manifest.json go', 'sealed')
    .option('--key-file <file>', 'keep the data key here (64 hex digits; made if absent)')
    .option('--url <url>', 'key broker that gets the data key as a new key or version')
    .option('--token-file <file>', 'operator token for the broker')
    .option('--policy <file>', 'release policy, for a key that the broker does not have yet')
    .option('--json', 'print JSON')
    .action(async (paths: readonly string[], flags: SealFlags) => seal(paths, flags, context))
}

async function seal(
  paths: readonly string[],
  flags: SealFlags,
  context: CliContext,
): Promise<void> {
  const sources = await findSources(paths)
  const total = sources.reduce((sum, { size }) => sum + size, 0)
  const id = parseKeyUri(flags.key, { code: 'ERR_USAGE_INVALID', at: 'cli.key' })
  const progress = startProgress('sealing', total, context)
  const sealed = await createDirectory(flags.out, async (directory) => {
    // Only here, where there is a place for the files: a key without them would be nobody's.
    const dataKey = await obtainKey(id, flags, context)
    try {
      return await sealAll(sources, { directory, flags, id, dataKey, progress })
    } finally {
      dataKey.material.fill(0)
    }
  })
  progress.done()
  report({ ...sealed, out: resolve(flags.out), bytes: total }, flags, context)
}

async function sealAll(
  sources: readonly Source[],
  sealing: Sealing,
): Promise<{
  readonly manifest: string
  readonly key: string
  readonly files: readonly ManifestFile[]
}> {
  const { directory, flags, id, dataKey } = sealing
  const files: ManifestFile[] = []
  for (const source of sources) files.push(await sealOne(source, sealing))
  const { model, modelVersion: version } = flags
  const manifest = encodeManifest({ schema: MANIFEST_SCHEMA, model, version, files })
  await writeFile(join(directory, 'manifest.json'), manifest)
  const key = keyVersionUri({ ...id, version: dataKey.version })
  return { manifest: await manifestDigest(manifest, createCrypto()), key, files }
}

interface Sealing {
  readonly directory: string
  readonly flags: SealFlags
  readonly id: KeyId
  readonly dataKey: DataKey
  readonly progress: Progress
}

async function sealOne(
  { file, path }: Source,
  { directory, flags, id, dataKey, progress }: Sealing,
): Promise<ManifestFile> {
  const cipher = createSegmentCipher()
  const name = { model: flags.model, version: flags.modelVersion, path, segment: DEFAULT_SEGMENT }
  const hasher = createCrypto()
  const secret = await fileSecret(dataKey.material, name, { cipher, hasher })
  const target = join(directory, path + SEALED_SUFFIX)
  const onProgress = (bytes: number): void => {
    progress.add(bytes)
  }
  const tools = { cipher, random: systemRandom, startDigest, onProgress }
  const content = await sealFile({ source: file, target, secret, ...tools })
  const key = keyVersionUri({ ...id, version: dataKey.version })
  return { path, ...content, segment: DEFAULT_SEGMENT, key }
}

/** From the key file or fresh; then, with a broker, as a new version there. */
async function obtainKey(
  id: KeyId & { readonly version: number | undefined },
  flags: SealFlags,
  context: CliContext,
): Promise<DataKey> {
  const { keyFile, url } = flags
  if (keyFile === undefined && url === undefined) {
    throw usage('key-file', 'nobody would have the key: give --key-file, or --url of a key broker')
  }
  const broker = url === undefined ? undefined : openBroker(flags)
  const material =
    keyFile === undefined ? systemRandom(DATA_KEY_SIZE) : openKeyFile(keyFile, systemRandom)
  if (broker === undefined) return { material, version: id.version ?? 1 }
  try {
    if (id.version !== undefined) throw usage('key', 'the broker chooses the version')
    const wrapped = await broker.wrap(id, material)
    return { material, version: await store({ broker, id, wrapped }, flags, context) }
  } finally {
    await broker.close()
  }
}

/** A new key, or a new version of the key that is there. */
async function store(
  {
    broker,
    id,
    wrapped,
  }: { readonly broker: BrokerClient; readonly id: KeyId; readonly wrapped: Json },
  { policy }: SealFlags,
  context: CliContext,
): Promise<number> {
  const exists = await has(broker, id)
  if (!exists && policy === undefined) {
    throw usage('policy', `the broker has no ${keyUri(id)}: give its release policy`)
  }
  if (exists && policy !== undefined) {
    throw usage('policy', 'the key has one; change it with vouchsafe key policy')
  }
  const material = { material: wrapped }
  const body =
    policy === undefined ? material : { ...material, policy: await readPolicy(policy, context) }
  const path = keyPath(id) + (exists ? '/rotate' : '')
  const { versions } = await broker.call({ method: 'POST', path, body })
  const version = Array.isArray(versions) ? (versions.at(-1) as { version?: Json }).version : null
  if (typeof version === 'number') return version
  throw badAnswer('an answer without versions')
}

async function has(broker: BrokerClient, id: KeyId): Promise<boolean> {
  try {
    await broker.call({ method: 'GET', path: keyPath(id) })
    return true
  } catch (err) {
    if (err instanceof VouchsafeError && err.code === 'ERR_KEY_NOT_FOUND') return false
    throw err
  }
}

async function readPolicy(file: string, context: CliContext): Promise<Json> {
  const blame = { code: 'ERR_POLICY_INVALID', at: 'policy' } as const
  return parseJson(new TextDecoder().decode(await readInput(file, context)), blame)
}

function report(
  sealed: {
    readonly manifest: string
    readonly files: readonly ManifestFile[]
    readonly out: string
    readonly key: string
    readonly bytes: number
  },
  { json, keyFile, url }: SealFlags,
  context: CliContext,
): void {
  const { manifest, files, out, key, bytes } = sealed
  if (json === true) {
    context.out(jsonText({ manifest, out, key, bytes, files }))
    return
  }
  const kept = [url && 'the key broker', keyFile].filter((place) => place !== undefined)
  context.out(`Sealed ${files.length} files, ${bytes} bytes, into ${out}\n`)
  context.out(`  manifest  ${manifest}\n`)
  context.out(`  key       ${key}, kept by ${kept.join(' and ')}\n`)
}

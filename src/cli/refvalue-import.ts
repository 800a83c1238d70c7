/** `vouchsafe refvalue import`: what makers publish, as sets of reference values. @packageDocumentation */
import type { Command } from 'commander'
import { toHex } from '../core/bytes/hex.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { decodePem } from '../core/encoding/pem.ts'
import {
  endorsementsToJson,
  NO_ENDORSEMENTS,
  type PlatformKey,
} from '../core/endorsements/endorsement-set.ts'
import { formatOf } from '../core/evidence/formats.ts'
import type { VerifyingKey } from '../core/ports/crypto.ts'
import { joinMapped, type Mapped } from '../core/reference-values/corim/mapped.ts'
import {
  type Authority,
  type Imported,
  importFile,
  setOf,
} from '../core/reference-values/import.ts'
import type { ReferenceValueSet } from '../core/reference-values/reference-values.ts'
import { parseCertificate } from '../core/x509/certificate.ts'
import { parseCrl } from '../core/x509/crl.ts'
import { keyOfJwk, keyOfSpki } from '../core/x509/ec-key.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import type { CliContext } from './context.ts'
import { collect, derBlocks, parseTime, readInput } from './inputs.ts'
import { clean, jsonText } from './output.ts'
import { createFile, requireRoom } from './output-file.ts'
import { renderSet, setText, type WriteFlags, writeSet } from './refvalue-output.ts'
import { usage } from './usage.ts'

interface ImportFlags extends WriteFlags {
  readonly key?: string
  readonly root?: readonly string[]
  readonly crl?: readonly string[]
  readonly withoutCrl?: boolean
  readonly unsigned?: boolean
  readonly anyProfile?: boolean
  readonly at?: string
  readonly name?: string
  readonly version?: string
  readonly format?: string
  readonly endorsementsOut?: string
}

interface File {
  readonly file: string
  readonly imported: Imported
}

/** Of formats that have several. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  'arm-cca': ['platform', 'realm'],
  tdx: ['module', 'guest'],
}
const HELP = `
A policy names one set, and evidence must match one entry of it. So files about several layers (an Arm
CCA platform and its realms) are imported together: each of one layer with each of the others.

Of signed files, say by whom: --key for one key, or --root for certificates that the files carry. Then a
current list of every issuer must be at hand (--crl), unless you say --without-crl.`

/** Adds the command. */
export function registerImport(parent: Command, context: CliContext): void {
  parent
    .command('import')
    .description('CoRIMs, stores of Veraison and Trustee, and plain sets, as one set')
    .argument('<file...>', 'CBOR or JSON; - for stdin')
    .option('--key <file>', 'public key that must have signed every file: PEM or JWK')
    .option('--root <file>', 'or a root of whoever signed them (x5chain): PEM or DER', collect)
    .option('--crl <file>', 'a revocation list of an issuer under it: PEM or DER', collect)
    .option('--without-crl', 'believe certificates under it without any list')
    .option('--unsigned', 'nobody has signed them: you know where they come from')
    .option('--any-profile', 'also CoRIMs of a profile that is not known, as far as they are read')
    .option('--at <time>', 'the time they must be valid at (default: now)')
    .option('--format <format>', 'if they are about several formats')
    .option('--name <name>', 'of the set (default: FORMAT-production)')
    .option('--version <version>', 'of the set (default: 1)')
    .option('--out <file>', 'write the set there')
    .option('--endorsements-out <file>', 'write the keys of platforms there, for --endorsements')
    .option('--yes', 'do not ask')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (files: readonly string[], flags: ImportFlags) =>
      importAll(files, flags, context),
    )
}

async function importAll(
  files: readonly string[],
  flags: ImportFlags,
  context: CliContext,
): Promise<void> {
  await requirePlaces(flags)
  const tools = {
    authority: await authorityOf(flags, context),
    now: flags.at === undefined ? context.now() : parseTime(flags.at),
    crypto: createCrypto(),
    anyProfile: flags.anyProfile === true,
  }
  const read: File[] = []
  for (const file of files) {
    read.push({ file, imported: await importFile(await readInput(file, context), tools) })
  }
  const all = read.map(({ imported }) => imported)
  const set = setOf(all, headOf(flags))
  const { platformKeys } = joinMapped(all)
  if (set === undefined && platformKeys.length === 0) {
    throw usage('file', `nothing in them is a reference value; ${notesOf(read)[0] ?? 'empty'}`)
  }
  await show(read, set, { flags, context })
  if (flags.endorsementsOut !== undefined) {
    if (platformKeys.length === 0) throw usage('endorsements-out', 'the files have no keys')
    const endorsements = endorsementsToJson({ ...NO_ENDORSEMENTS, platformKeys })
    await createFile(flags.endorsementsOut, jsonText(endorsements), 'endorsements-out')
  }
  if (flags.out === undefined) return
  if (set === undefined) throw usage('out', 'the files have keys, and no reference values')
  const yes = flags.yes === true || flags.json === true
  const written = await writeSet(set, { file: flags.out, yes }, context)
  context.err(written ? `written to ${flags.out}\n` : 'not written\n')
}

/** What the set is called, as far as it is said. */
function headOf({ name, version, format }: ImportFlags): Parameters<typeof setOf>[1] {
  return {
    ...(name !== undefined && { name }),
    ...(version !== undefined && { version }),
    ...(format !== undefined && { format: formatOf(format, 'cli.format').id }),
  }
}

async function requirePlaces({ out, endorsementsOut }: ImportFlags): Promise<void> {
  if (out !== undefined) await requireRoom(out, { flag: 'out', replace: false })
  if (endorsementsOut === undefined) return
  await requireRoom(endorsementsOut, { flag: 'endorsements-out', replace: false })
}

async function show(
  read: readonly File[],
  set: ReferenceValueSet | undefined,
  { flags, context }: { readonly flags: ImportFlags; readonly context: CliContext },
): Promise<void> {
  if (flags.json === true) {
    context.out(jsonText(resultJson(read, set)))
    return
  }
  // With the set on stdout, what is said about it stays out of its way.
  const aside = set !== undefined && flags.out === undefined
  const say = (text: string): void => {
    if (aside) context.err(text)
    else context.out(text)
  }
  if (aside) context.out(setText(set))
  else if (set !== undefined) say(await renderSet(set))
  say(remarksOn(read).join(''))
}

function resultJson(
  read: readonly File[],
  set: ReferenceValueSet | undefined,
): Readonly<Record<string, unknown>> {
  const { platformKeys, policy } = joinMapped(read.map(({ imported }) => imported))
  const requirements = fieldsOf(policy).map(
    ([name, values]) => [name, { require: values }] as const,
  )
  return {
    files: read.map(({ file, imported: { kind, id, signer } }) => ({
      file,
      kind,
      id: id ?? null,
      signer: signer ?? null,
    })),
    set: set ?? null,
    platform_keys: platformKeys.map(keyJson),
    policy: Object.fromEntries(requirements),
    not_covered: missingLayers(read),
    unmapped: notesOf(read),
  }
}

/** What there is to say besides the set. */
function remarksOn(read: readonly File[]): readonly string[] {
  const { platformKeys, policy } = joinMapped(read.map(({ imported }) => imported))
  const notes = notesOf(read)
  return [
    ...read.flatMap(({ file, imported: { signer } }) =>
      signer === undefined ? [] : [`\n${file}: signed by ${clean(signer)}\n`],
    ),
    ...(platformKeys.length > 0 ? [`\n${platformKeys.length} keys of platforms\n`] : []),
    ...fieldsOf(policy).map(
      ([name, values]) =>
        `\nfor the policy, ${name}:\n${JSON.stringify({ require: values }, null, 2)}\n`,
    ),
    ...missingLayers(read).map((layer) => `\nnot covered: the ${layer}; any will do\n`),
    ...(notes.length > 0
      ? [`\nleft out:\n${notes.map((note) => `  ${clean(note)}\n`).join('')}`]
      : []),
  ]
}

function fieldsOf(policy: Mapped['policy']): readonly (readonly [string, readonly Json[]])[] {
  return Object.entries(policy).filter(([, values]) => values.length > 0)
}

function keyJson({ spki, implementationId, instanceId }: PlatformKey): Json {
  return {
    spki: toHex(spki),
    implementation_id: implementationId === undefined ? null : toHex(implementationId),
    instance_id: instanceId === undefined ? null : toHex(instanceId),
  }
}

function notesOf(read: readonly File[]): readonly string[] {
  return read.flatMap(({ file, imported }) =>
    imported.unmapped.map((note) => (read.length > 1 ? `${file}: ${note}` : note)),
  )
}

/** An entry that says nothing of the platform accepts all of them. */
function missingLayers(read: readonly File[]): readonly string[] {
  const fragments = read.flatMap(({ imported }) => imported.fragments)
  const formats = new Set(fragments.map(({ format }) => format))
  return [...formats].flatMap((format) =>
    (LAYERS[format] ?? []).filter((layer) => !fragments.some((one) => one.layer === layer)),
  )
}

async function authorityOf(flags: ImportFlags, context: CliContext): Promise<Authority> {
  const { key, root = [], crl = [], withoutCrl, unsigned } = flags
  const ways = [key !== undefined, root.length > 0, unsigned === true].filter(Boolean).length
  if (ways > 1) throw usage('key', 'give one of --key, --root and --unsigned')
  if (root.length === 0 && (crl.length > 0 || withoutCrl === true)) {
    throw usage('crl', 'revocation lists are of certificates under a --root')
  }
  if (unsigned === true) return { unsigned: true }
  if (key !== undefined) return { key: await readKey(key, context) }
  if (root.length === 0) {
    const say = '--key FILE, --root FILE, or --unsigned if nobody has'
    throw usage('key', `say who must have signed: ${say}`)
  }
  if (withoutCrl === true && crl.length > 0) {
    throw usage('crl', 'give --crl or --without-crl, not both')
  }
  if (withoutCrl !== true && crl.length === 0) {
    throw usage('crl', 'give --crl FILE for every issuer, or --without-crl to do without')
  }
  const roots = await readAll(root, { flag: 'root', label: 'CERTIFICATE' }, context)
  const lists = await readAll(crl, { flag: 'crl', label: 'X509 CRL' }, context)
  return {
    roots: roots.map((der) => parseCertificate(der, { code: 'ERR_USAGE_INVALID', at: 'cli.root' })),
    crls:
      withoutCrl === true
        ? 'waived'
        : lists.map((der) => parseCrl(der, { code: 'ERR_USAGE_INVALID', at: 'cli.crl' })),
  }
}

/** Of every file; one that has none was given by mistake. */
async function readAll(
  files: readonly string[],
  { flag, label }: { readonly flag: string; readonly label: string },
  context: CliContext,
): Promise<readonly Uint8Array[]> {
  const read: Uint8Array[] = []
  for (const file of files) {
    const found = derBlocks(await readInput(file, context), label, flag)
    if (found.length === 0) throw usage(flag, `${file} is no ${label}, neither DER nor PEM`)
    read.push(...found)
  }
  return read
}

/** A P-256 or P-384 key as PEM, DER or JWK. */
async function readKey(file: string, context: CliContext): Promise<VerifyingKey> {
  const bytes = await readInput(file, context)
  const blame = { code: 'ERR_USAGE_INVALID', at: 'cli.key' } as const
  const text = new TextDecoder().decode(bytes).trim()
  const key = text.startsWith('{')
    ? keyOfJwk(jwkOf(parseJson(text, blame)), blame)
    : keyOfSpki(
        text.startsWith('-----BEGIN')
          ? (decodePem(text, 'PUBLIC KEY', blame)[0] ?? new Uint8Array())
          : bytes,
      )
  if (key === undefined) throw usage('key', `${file} holds no public key for ES256 or ES384`)
  return key
}

function jwkOf(value: Json): Readonly<Record<'kty' | 'crv' | 'x' | 'y', unknown>> {
  const { kty, crv, x, y } = value as Readonly<Record<string, unknown>>
  return { kty, crv, x, y }
}

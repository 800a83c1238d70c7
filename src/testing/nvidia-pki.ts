/**
 * The hierarchies of a fake NVIDIA: a root of devices with families, provisioners, boot ROMs and
 * leaves; a root of manifests and its signers. Every certificate can be given, so that one at a time
 * can be wrong.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { utf8 } from '../core/bytes/bytes.ts'
import {
  type DerBytes,
  der,
  derContext,
  derInteger,
  derOctets,
  derOid,
  derSequence,
} from '../drivers/attester/simulated/minting/der.ts'
import {
  type CertificateOptions,
  type MintedKey,
  mintCertificate,
  mintKey,
} from '../drivers/attester/simulated/minting/x509.ts'

export type NvidiaModel = 'GH100' | 'GB100' | 'LS10'

/** Whoever issues or signs: a certificate and its key. */
export interface NvidiaAuthority {
  readonly name: string
  readonly key: MintedKey
  readonly der: DerBytes
}

/** Both hierarchies. Authorities are in path order, the root last. */
export interface NvidiaPki {
  readonly at: Date
  readonly model: NvidiaModel
  /** Provisioner, family, root. */
  readonly device: readonly [NvidiaAuthority, NvidiaAuthority, NvidiaAuthority]
  /** Signer, L3, CA, root. */
  readonly rim: readonly [NvidiaAuthority, NvidiaAuthority, NvidiaAuthority, NvidiaAuthority]
  /** What a verifier pins. */
  readonly anchors: { readonly device: readonly string[]; readonly rim: readonly string[] }
}

export interface NvidiaPkiOptions {
  /** Around which certificates of manifests are valid: a year before and after. */
  readonly at: Date
  readonly model?: NvidiaModel
  /** Changes to the signer of manifests. */
  readonly signer?: Partial<CertificateOptions>
}

export interface NvidiaDevice {
  readonly model: NvidiaModel
  readonly leaf: NvidiaAuthority
  readonly rom: NvidiaAuthority
  /** Leaf first, root last. */
  readonly chain: readonly DerBytes[]
  readonly fwid: Uint8Array
}

export interface NvidiaDeviceOptions {
  /** Of the extension; 48 bytes. */
  readonly fwid?: Uint8Array
  /** Operational flags of Blackwell's extension, the highest byte, or their whole encoding. */
  readonly flags?: number | Uint8Array | 'absent'
  readonly leaf?: Partial<CertificateOptions>
  readonly rom?: Partial<CertificateOptions>
}

const YEAR = 365 * 24 * 60 * 60 * 1000
/** As NVIDIA's devices have it: no end. */
const NEVER = new Date('9999-12-31T23:59:59Z')
const SINCE = new Date('2021-11-05T00:00:00Z')
const CA_USAGE = ['keyCertSign', 'crlSign'] as const
const SHA384 = '2.16.840.1.101.3.4.2.2'

/** Both hierarchies of one maker. */
export function mintNvidiaPki({ at, model = 'GH100', signer }: NvidiaPkiOptions): NvidiaPki {
  const never = { notBefore: SINCE, notAfter: NEVER }
  const root = authority('NVIDIA Device Identity CA', { serial: 1, ...never })
  const family = authority(`NVIDIA ${model} Identity`, { serial: 2, issuer: root, ...never })
  const provisioner = authority(`NVIDIA ${model} Provisioner ICA 1`, {
    serial: 3,
    issuer: family,
    ...never,
  })
  const years = {
    notBefore: new Date(at.getTime() - YEAR),
    notAfter: new Date(at.getTime() + YEAR),
  }
  const rimRoot = authority('NVIDIA CoRIM signing Root CA', { serial: 11, ...years })
  const rimCa = authority(`NVIDIA Reference Value ${model} CA`, {
    serial: 12,
    issuer: rimRoot,
    ...years,
  })
  const l3 = authority(`NVIDIA Reference Value L3 ${model} 001`, {
    serial: 13,
    issuer: rimCa,
    ca: { pathLength: 0 },
    ...years,
  })
  const l4 = endEntity('RIM L4 Signer', { serial: 14, issuer: l3, ...years, ...signer })
  return {
    at,
    model,
    device: [provisioner, family, root],
    rim: [l4, l3, rimCa, rimRoot],
    anchors: { device: [sha256(root.der)], rim: [sha256(rimRoot.der)] },
  }
}

/** One device of the maker's. */
export function mintNvidiaDevice(
  { device, model }: NvidiaPki,
  options: NvidiaDeviceOptions = {},
): NvidiaDevice {
  const { fwid = new Uint8Array(48).fill(0xf1), flags = 0 } = options
  const [provisioner, family, root] = device
  const chip = model === 'LS10' ? 'LS_10 A01 FSP' : `${model} A01 GSP`
  const dates = { notBefore: SINCE, notAfter: NEVER }
  const rom = authority(`${chip} BROM`, {
    serial: 0x412921ce551e4eeda3n,
    issuer: provisioner,
    keyUsage: ['keyCertSign'],
    ...dates,
    ...options.rom,
  })
  const key = options.leaf?.key ?? mintKey('ES384')
  const extension = fwidExtension({ model, key, fwid, flags })
  const leaf = endEntity(`${chip} FMC LF`, {
    serial: 0x72ca27239f0e96f6535f73af84eb1542n,
    key,
    issuer: rom,
    extensions: [extension],
    ...dates,
    ...options.leaf,
  })
  return {
    model,
    leaf,
    rom,
    fwid,
    chain: [leaf, rom, provisioner, family, root].map((one) => one.der),
  }
}

function fwidExtension({
  model,
  key,
  fwid,
  flags,
}: {
  readonly model: NvidiaModel
  readonly key: MintedKey
  readonly fwid: Uint8Array
  readonly flags: number | Uint8Array | 'absent'
}) {
  const id = (digest: Uint8Array): DerBytes => derSequence(derOid(SHA384), derOctets(digest))
  if (model !== 'GB100') {
    const value = derSequence(derInteger(1), key.spki, id(fwid))
    return { oid: '2.23.133.5.4.1', value }
  }
  const value = derSequence(
    der(0x80, utf8('NVIDIA')),
    der(0x81, utf8('GB100 A01 GSP')),
    derContext(6, id(fwid), id(new Uint8Array(48))),
    ...(flags === 'absent'
      ? []
      : [der(0x87, typeof flags === 'number' ? Uint8Array.of(0, flags, 0, 0, 1) : flags)]),
  )
  return { oid: '2.23.133.5.4.1.1', value }
}

type Minting = Partial<Omit<CertificateOptions, 'issuer'>> & {
  readonly issuer?: NvidiaAuthority | CertificateOptions['issuer']
  readonly notBefore: Date
  readonly notAfter: Date
}

function authority(name: string, options: Minting): NvidiaAuthority {
  return endEntity(name, { ca: {}, keyUsage: CA_USAGE, ...options })
}

function endEntity(name: string, { issuer, ...options }: Minting): NvidiaAuthority {
  const key = options.key ?? mintKey('ES384')
  const certificate = mintCertificate({
    subject: name,
    keyUsage: ['digitalSignature'],
    ...(issuer && { issuer }),
    ...options,
    key,
  })
  return { name, key, der: certificate }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

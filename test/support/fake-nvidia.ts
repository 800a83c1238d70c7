/** A fake NVIDIA: its service of manifests and its OCSP responder, each on a port of its own. */
import { createHash } from 'node:crypto'
import { toBase64 } from '../../src/core/bytes/base64.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { type Der, readChildren, readDer, readOctets } from '../../src/core/encoding/der.ts'
import { parseOcspResponse } from '../../src/core/x509/ocsp.ts'
import { type FakeAnswer, type FakeVendor, startFakeVendor } from './fake-vendor.ts'

/** What it knows. */
export interface NvidiaPublications {
  /** XML by name. */
  readonly rims: Readonly<Record<string, Uint8Array>>
  /** Responses with this nonce, each about one certificate. */
  readonly answers: (nonce: Uint8Array) => readonly Uint8Array[]
}

export interface FakeNvidia {
  readonly rim: FakeVendor
  readonly ocsp: FakeVendor
  close(): Promise<void>
}

const BLAME = { code: 'ERR_REQUEST_INVALID', at: 'fake' } as const
/** OCSPResponse with nothing but the status "unauthorized". */
export const UNAUTHORIZED = Uint8Array.of(0x30, 3, 0x0a, 1, 6)

/** Serves whatever `published` gives at the moment of asking. */
export async function startFakeNvidia(published: () => NvidiaPublications): Promise<FakeNvidia> {
  const rim = await startFakeVendor((url) => manifest(url, published()))
  const ocsp = await startFakeVendor((url, body, type) =>
    url.pathname === '/' && type === 'application/ocsp-request'
      ? respondTo(body, published())
      : { status: 400, body: 'no OCSP request' },
  )
  return {
    rim,
    ocsp,
    close: async () => {
      await rim.close()
      await ocsp.close()
    },
  }
}

/** As NVIDIA's service answers. */
export function rimAnswer(id: string, xml: Uint8Array): string {
  return JSON.stringify({
    id,
    rim: toBase64(xml),
    sha256: createHash('sha256').update(xml).digest('hex'),
    last_updated: '2025-01-01T00:00:00Z',
    rim_format: 'TCG',
    request_id: '00000000-0000-0000-0000-000000000000',
  })
}

function manifest(url: URL, { rims }: NvidiaPublications): FakeAnswer | undefined {
  const id = /^\/v1\/rim\/([^/]+)$/.exec(url.pathname)?.[1]
  const xml = id === undefined ? undefined : rims[id]
  if (id === undefined || xml === undefined) return undefined
  return { headers: { 'content-type': 'application/json' }, body: rimAnswer(id, xml) }
}

function respondTo(request: Uint8Array, { answers }: NvidiaPublications): FakeAnswer {
  const asked = certIdIn(request)
  const found = answers(nonceIn(request)).find((der) => {
    const [single] = parseOcspResponse(der, BLAME).responses
    const id = single?.certId
    return id && `${toHex(id.issuerNameHash)} ${toHex(id.issuerKeyHash)} ${id.serial}` === asked
  })
  const headers = { 'content-type': 'application/ocsp-response' }
  return { headers, body: found ?? UNAUTHORIZED }
}

/** At the end of OCSPRequest, tbsRequest: requestExtensions, Extensions, Extension, extnValue. */
function nonceIn(request: Uint8Array): Uint8Array {
  let element: Der | undefined = readDer(request, BLAME)
  for (let depth = 0; depth < 5; depth++) element = element && readChildren(element, BLAME).at(-1)
  if (element === undefined) throw new Error('no nonce')
  return readOctets(readDer(readOctets(element, BLAME), BLAME), BLAME)
}

/** Four sequences down: OCSPRequest, tbsRequest, requestList, Request, CertID. */
function certIdIn(request: Uint8Array): string {
  let element: Der | undefined = readDer(request, BLAME)
  for (let depth = 0; depth < 4; depth++) element = element && readChildren(element, BLAME)[0]
  const [hash, name, key, serial] = element ? readChildren(element, BLAME) : []
  if (!hash || !name || !key || !serial) throw new Error('no CertID')
  const [nameHash, keyHash] = [name, key].map((one) => toHex(readOctets(one, BLAME)))
  return `${nameHash} ${keyHash} ${toHex(serial.content)}`
}

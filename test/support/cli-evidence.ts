import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import {
  mintAwsPki,
  mintIntelPki,
  mintNitroDocument,
  mintTdxQuote,
} from '../../src/testing/index.ts'

export const AT = '2026-03-01T12:00:00Z'
const NOW = new Date(AT)
/** The nonce that the Nitro document answers; its user_data is 64 times 07. */
export const NONCE = 'ab'.repeat(32)
const aws = mintAwsPki({ at: new Date(NOW.getTime() - 60_000) })
const intel = mintIntelPki({ now: NOW })
export const endorsements = endorsementsToJson(intel.endorsements())
export const anchors = { aws: aws.anchor, simulated: intel.anchor } as const

export const nitro = mintNitroDocument({
  pki: aws,
  timestamp: NOW,
  members: {
    nonce: Uint8Array.from(Buffer.from(NONCE, 'hex')),
    user_data: new Uint8Array(64).fill(7),
  },
})
export const simulated = mintTdxQuote(intel)

const DEBUG = Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0)

/** A new directory with evidence, good and bad, and what verifies it. */
export async function evidenceDirectory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'vouchsafe-cli-'))
  const files: Readonly<Record<string, string | Uint8Array>> = {
    'nitro.bin': nitro,
    'nitro.hex': Buffer.from(nitro).toString('hex'),
    'nitro.json': JSON.stringify({ document: Buffer.from(nitro).toString('base64') }),
    'broken.bin': nitro.with(nitro.length - 1, (nitro.at(-1) ?? 0) ^ 1),
    'root.pem': encodePem(aws.root, 'CERTIFICATE'),
    'quote.bin': simulated,
    'debug.bin': mintTdxQuote(intel, { body: { tdAttributes: DEBUG } }),
    'collateral.json': JSON.stringify(endorsements),
    'prose.txt': 'hello, this is not evidence',
    'odd.bin': new Uint8Array(100),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content)
  return dir
}

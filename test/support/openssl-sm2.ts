/** SM2 keys and signatures by the OpenSSL of the machine, which takes the id of a key's owner. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { VerifyingKey } from '../../src/core/ports/crypto.ts'

/** n of the curve (GB/T 32918.5 §2). */
export const SM2_ORDER = Buffer.from(
  'fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123',
  'hex',
)

const USUAL_ID = Buffer.from('1234567812345678')

/** Signs as OpenSSL does, under the usual id if no other is given. Answers raw r ‖ s. */
export interface Sm2Signer {
  readonly key: VerifyingKey
  sign(data: Uint8Array, sm2Id?: Uint8Array): Uint8Array
}

/** Whether the machine has an OpenSSL that knows SM2; says so once if it has none. */
export const HAS_OPENSSL = hasSm2()

function hasSm2(): boolean {
  try {
    openssl(['genpkey', '-algorithm', 'SM2'])
    return true
  } catch {
    // No such program, or one built without SM2: the tests that need it are skipped, and named.
    console.warn('SKIPPED: SM2 against OpenSSL: no openssl with SM2 on this machine')
    return false
  }
}

/** A key of OpenSSL's making. Throws if the machine has no OpenSSL, or one without SM2. */
export function mintSm2(): Sm2Signer {
  const pem = openssl(['genpkey', '-algorithm', 'SM2'])
  const spki = openssl(['pkey', '-pubout', '-outform', 'DER'], pem)
  return {
    key: { alg: 'SM2', spki: new Uint8Array(spki) },
    sign: (data, id) => sign(pem, data, id),
  }
}

function sign(pem: Buffer, data: Uint8Array, sm2Id: Uint8Array = USUAL_ID): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'vouchsafe-sm2-'))
  try {
    // It wants to know the size of both before it reads them.
    writeFileSync(join(folder, 'key'), pem)
    writeFileSync(join(folder, 'data'), data)
    // Its own default is the empty id, which it does not take when said.
    const id =
      sm2Id.length === 0 ? [] : ['-pkeyopt', `hexdistid:${Buffer.from(sm2Id).toString('hex')}`]
    const input = ['-inkey', join(folder, 'key'), '-in', join(folder, 'data')]
    const der = openssl(['pkeyutl', '-sign', '-rawin', '-digest', 'sm3', ...input, ...id])
    return rawSignature(der)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function openssl(args: readonly string[], input?: Buffer): Buffer {
  return execFileSync('openssl', args, { input: input ?? '', stdio: ['pipe', 'pipe', 'pipe'] })
}

/** DER `SEQUENCE { r, s }` of two numbers of at most 33 bytes. */
function rawSignature(der: Buffer): Uint8Array {
  const middle = 4 + (der[3] ?? 0)
  const number = (bytes: Buffer) => Buffer.concat([Buffer.alloc(32), bytes]).subarray(-32)
  return new Uint8Array(
    Buffer.concat([number(der.subarray(4, middle)), number(der.subarray(middle + 2))]),
  )
}

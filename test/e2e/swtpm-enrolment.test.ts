/**
 * Enrolment of an attestation key by the certificate of an endorsement key: two real TPMs (swtpm), made
 * by swtpm's own manufacturing tools, and the command line on both sides.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTpmAttester } from '../../src/drivers/attester/tpm.ts'
import { vouchsafe } from '../support/cli.ts'
import { hasSwtpm, type SoftwareTpm, startSwtpm } from '../support/swtpm.ts'

interface Kind {
  readonly name: string
  /** Where makers put key and certificate (TCG EK Credential Profile, 2.2). */
  readonly handle: string
  readonly certificate: string
  readonly hash: 'sha256' | 'sha384'
}

const RSA: Kind = { name: 'rsa', handle: '0x81010001', certificate: '0x1c00002', hash: 'sha256' }
const P384: Kind = { name: 'p384', handle: '0x81010016', certificate: '0x1c00016', hash: 'sha384' }
/** PolicyC of the profile, B.6.5: what else but PolicyA opens a key of the newer templates. */
const POLICY_C =
  'd6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165'
const NO_CRL = ['--without-crl', 'swtpm publishes none']

describe.runIf(hasSwtpm())('vouchsafe tpm', () => {
  let tpm: SoftwareTpm
  let other: SoftwareTpm
  const file = (name: string, of = tpm): string => join(of.directory, name)
  const root = (of = tpm): string => file('ca/swtpm-localca-rootca-cert.pem', of)

  beforeAll(async () => {
    tpm = await startSwtpm({ manufactured: true })
    other = await startSwtpm({ manufactured: true })
    for (const one of [tpm, other]) {
      for (const { name, certificate } of [RSA, P384]) {
        one.tool('tpm2_nvread', certificate, '-o', `${name}.der`)
      }
      one.tool('tpm2_createek', '-c', 'ek.ctx', '-G', 'rsa')
      const ak = ['-C', 'ek.ctx', '-c', 'ak.ctx', '-u', 'ak.pub', '-G', 'ecc', '-g', 'sha256']
      one.tool('tpm2_createak', ...ak, '-s', 'ecdsa')
    }
  }, 120_000)
  afterAll(async () => {
    await tpm.stop()
    await other.stop()
  })

  let count = 0
  const challenge = async ({ name }: Kind, ...more: readonly string[]) => {
    const [credential, state] = [file(`credential${++count}`), file(`state${count}`)]
    const given = ['--ek-certificate', file(`${name}.der`), '--ak', file('ak.pub')]
    const out = ['--credential', credential, '--state', state]
    const args = [...given, '--root', root(), '--endorsements', file('ca/issuer.pem'), ...out]
    return { credential, state, ...(await vouchsafe(['tpm', 'challenge', ...args, ...more])) }
  }

  /** TPM2_ActivateCredential, with whatever opens an EK of this kind. */
  function activate(of: SoftwareTpm, { handle, hash }: Kind, credential: string): string {
    const secret = file('secret', of)
    of.keep('tpm2_startauthsession', '--policy-session', '-g', hash, '-S', 's.ctx')
    try {
      of.keep('tpm2_policysecret', '-S', 's.ctx', '-c', 'e', '-L', 'a.policy')
      if (hash === 'sha384') {
        writeFileSync(file('c.policy', of), Buffer.from(POLICY_C, 'hex'))
        of.keep('tpm2_policyor', '-S', 's.ctx', `${hash}:a.policy,c.policy`)
      }
      const keys = ['-c', 'ak.ctx', '-C', handle, '-P', 'session:s.ctx']
      of.keep('tpm2_activatecredential', ...keys, '-i', credential, '-o', secret)
    } finally {
      of.keep('tpm2_flushcontext', 's.ctx')
      of.tool('tpm2_flushcontext', '-t')
    }
    return secret
  }

  it.each([RSA, P384])('enrols a key by the $name certificate of its TPM', async (kind) => {
    const made = await challenge(kind, ...NO_CRL)
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' })
    const secret = activate(tpm, kind, made.credential)
    const enrolled = await vouchsafe([
      'tpm',
      'enroll',
      '--state',
      made.state,
      '--secret',
      secret,
      '--json',
    ])
    expect({ code: enrolled.code, stderr: enrolled.stderr }).toEqual({ code: 0, stderr: '' })
    const { ak, revocation } = JSON.parse(enrolled.stdout) as {
      ak: { pin: string }
      revocation: string
    }
    expect(revocation).toBe('not asked: any (swtpm publishes none)')

    const nonce = new Uint8Array(64).fill(count, 0, 32)
    const settings = { pcrs: 'sha256:0,1,2,3,4,5,6,7', hash: 'sha256', scheme: 'ecdsa' } as const
    const { environment } = tpm
    const attester = createTpmAttester({
      key: file('ak.ctx'),

      environment,
      ...settings,
    })
    const { evidence } = await attester.attest(nonce)
    tpm.tool('tpm2_flushcontext', '-t')
    writeFileSync(file('evidence.json'), evidence)
    const verify = ['verify', '--nonce', Buffer.from(nonce).toString('hex'), file('evidence.json')]
    const unpinned = await vouchsafe(verify)
    expect(unpinned.code).toBe(10)
    expect(unpinned.stdout).toMatch(/fail {4}tpm\.ak\.anchor/)
    const pinned = await vouchsafe([...verify, '--unsafe-anchor', ak.pin])
    expect(pinned.stdout).not.toContain('tpm.ak.anchor  fail')
    expect(pinned.stdout).toMatch(/pass {4}tpm\.ak\.anchor/)
    expect(pinned.stdout).toMatch(/pass {4}tpm\.signature\.quote/)

    // The challenge is used up.
    const again = await vouchsafe(['tpm', 'enroll', '--state', made.state, '--secret', secret])
    expect(again.code).toBe(50)
  })

  it('writes over nothing, and leaves no state of a challenge that nobody can answer', async () => {
    writeFileSync(file('kept'), 'kept')
    const state = file('state-of-none')
    for (const [credential, words] of [
      [file('kept'), 'is there already'],
      [file('no/such/directory'), 'cannot write'],
      [state, 'is there already'],
    ] as const) {
      const refused = await challenge(RSA, ...NO_CRL, '--credential', credential, '--state', state)
      expect(refused.code).toBe(50)
      expect(refused.stderr).toContain(words)
      expect(existsSync(state)).toBe(false)
    }
    expect(readFileSync(file('kept'), 'utf8')).toBe('kept')
    const endless = await challenge(RSA, ...NO_CRL, '--expires', '999999999d')
    expect(endless.code).toBe(50)
    expect(endless.stderr).toContain('over a hundred years')
  })

  it('is of no use to another TPM, nor for another key in the same one', async () => {
    const { code, credential, state } = await challenge(RSA, ...NO_CRL)
    expect(code).toBe(0)
    expect(() => activate(other, RSA, credential)).toThrow(/tpm2_activatecredential/)
    tpm.tool('tpm2_createek', '-c', 'ek2.ctx', '-G', 'rsa')
    const ak = ['-C', 'ek2.ctx', '-c', 'ak2.ctx', '-G', 'ecc', '-g', 'sha256', '-s', 'ecdsa']
    tpm.tool('tpm2_createak', ...ak)
    writeFileSync(file('ak1.ctx'), readFileSync(file('ak.ctx')))
    writeFileSync(file('ak.ctx'), readFileSync(file('ak2.ctx')))
    expect(() => activate(tpm, RSA, credential)).toThrow(/tpm2_activatecredential/)
    writeFileSync(file('ak.ctx'), readFileSync(file('ak1.ctx')))
    writeFileSync(file('guess'), new Uint8Array(32))
    const guessed = await vouchsafe(['tpm', 'enroll', '--state', state, '--secret', file('guess')])
    expect(guessed.code).toBe(10)
    expect(guessed.stderr).toContain('ERR_KEY_UNWRAP_FAILED at tpm.secret')
    // A wrong answer takes nothing away from the right one.
    const secret = activate(tpm, RSA, credential)
    expect((await vouchsafe(['tpm', 'enroll', '--state', state, '--secret', secret])).code).toBe(0)
  })

  it('makes none for another maker’s TPM, without lists, or too late', async () => {
    const refused = async (check: string, ...more: readonly string[]) => {
      const { code, stdout, credential } = await challenge(RSA, ...more)
      expect(code).toBe(10)
      expect(stdout).toMatch(new RegExp(`fail {4}${check.replaceAll('.', '\\.')}`))
      expect(() => readFileSync(credential)).toThrow('ENOENT')
    }
    await refused('tpm.ek.revocation')
    await refused('tpm.ek.validity', ...NO_CRL, '--at', '2001-01-01')
    writeFileSync(file('rsa.own'), readFileSync(file('rsa.der')))
    writeFileSync(file('rsa.der'), readFileSync(file('rsa.der', other)))
    const issuer = ['--endorsements', file('ca/issuer.pem', other), '--endorsements', root(other)]
    // The names of both makers are the same, so the pinned one is the one that did not sign.
    await refused('tpm.ek.path', ...NO_CRL, ...issuer)
    writeFileSync(file('rsa.der'), readFileSync(file('rsa.own')))
  })
})

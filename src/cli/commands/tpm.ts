/** `vouchsafe tpm`: enrols attestation keys of TPMs by the certificates of their makers. @packageDocumentation */
import { rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { constant, hex, record, text } from '../../core/appraisal/policy-field.ts'
import { fromHex } from '../../core/bytes/hex.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { EXIT_CODES, VouchsafeError } from '../../core/errors.ts'
import { createMemo } from '../../core/evidence/common/memo.ts'
import { encodeCredentialFile } from '../../core/evidence/tpm/credential.ts'
import { challenge, type Examined, examine, isAnswer } from '../../core/evidence/tpm/enrolment.ts'
import { createCredentialCrypto } from '../../drivers/credential/node.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { readEndorsements } from '../../drivers/endorsements/directory.ts'
import { systemRandom } from '../../drivers/random.ts'
import { createSecretFile, readSecretFile } from '../../drivers/signer/file.ts'
import type { CliContext } from '../context.ts'
import { parseDuration } from '../endorsement-services.ts'
import { collect, derBlocks, parseTime, readInput, withUnsafeAnchors } from '../inputs.ts'
import { checkLine, clean, jsonText, table } from '../output.ts'
import { usage } from '../usage.ts'

interface ChallengeFlags {
  readonly ekCertificate: string
  readonly ak: string
  readonly root: readonly string[]
  readonly endorsements?: readonly string[]
  readonly withoutCrl?: string
  readonly credential: string
  readonly state: string
  readonly expires: string
  readonly at?: string
  readonly json?: boolean
}

interface EnrollFlags {
  readonly state: string
  readonly secret: string
  readonly json?: boolean
}

const MEMO_ENTRIES = 100
const SHA256 = /^[0-9a-fA-F]{64}$/
const CHALLENGE_HELP = `
The TPM answers with:
  tpm2_startauthsession --policy-session -S session.ctx
  tpm2_policysecret -S session.ctx -c e
  tpm2_activatecredential -c ak.ctx -C ek.ctx -i <credential> -o <secret> -P session:session.ctx
and then: vouchsafe tpm enroll --state <file> --secret <secret>`

const digest = hex(32)
const line = text(/^\P{Cc}{0,500}$/u)
/** What is remembered of a challenge: not the secret, which nobody needs to compare with it. */
const STATE = record({
  vouchsafe: constant('tpm-challenge'),
  expires: text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  secretSha256: digest,
  ak: record({ pin: digest, name: text(/^(?:[0-9a-f]{2}){34,66}$/) }),
  ek: record({
    subject: line,
    issuer: line,
    serial: text(/^(?:[0-9a-f]{2}){1,64}$/),
    certificate: digest,
    key: digest,
    root: digest,
  }),
  revocation: line,
})

/** Adds the commands. */
export function register(program: Command, context: CliContext): void {
  const tpm = program
    .command('tpm')
    .description('enrol attestation keys of TPMs by the certificates of their makers')
  tpm
    .command('challenge')
    .description('make a credential that only the TPM with both keys can open')
    .requiredOption(
      '--ek-certificate <file>',
      'of the endorsement key; PEM may have issuers behind',
    )
    .requiredOption(
      '--ak <file>',
      'public area of the attestation key, as tpm2_createak -u writes it',
    )
    .requiredOption('--root <file|sha256>', "root of the TPM's maker; repeat for more", collect)
    .option('--endorsements <path>', 'issuers and revocation lists; repeat for more', collect)
    .option('--without-crl <reason>', 'the maker publishes no revocation list')
    .requiredOption('--credential <file>', 'where the credential goes')
    .requiredOption('--state <file>', 'where what to remember goes (0600)')
    .option('--expires <time>', 'how long the answer is awaited', '1h')
    .option('--at <time>', 'verify as at this time (default: now)')
    .option('--json', 'print JSON')
    .addHelpText('after', CHALLENGE_HELP)
    .action(async (flags: ChallengeFlags) => makeChallenge(flags, context))
  tpm
    .command('enroll')
    .description('take the answer, and print the pin of the attestation key')
    .requiredOption('--state <file>', 'of the challenge; removed once it is answered')
    .requiredOption('--secret <file>', 'what the TPM gave, or - for stdin')
    .option('--json', 'print JSON')
    .action(async (flags: EnrollFlags) => enroll(flags, context))
}

const crypto = { ...createCrypto(), ...createCredentialCrypto() }

async function makeChallenge(flags: ChallengeFlags, context: CliContext): Promise<void> {
  const seconds = parseDuration(flags.expires, 'expires')
  const examined = await examineKeys(flags, context)
  const { checks, ak, ek, good } = examined
  const answer = { checks, ak, ek, expires: null, credential: null }
  if (flags.json !== true) {
    context.out(checks.map((check) => checkLine(check, context.color)).join(''))
  }
  if (!good) {
    // A verdict like any other: what was found, and the exit code of what is not affirmed.
    context.out(flags.json === true ? jsonText(answer) : 'refused: no credential was made\n')
    context.exit(EXIT_CODES.denied)
    return
  }
  const { credential, secretDigest } = await challenge(examined, crypto, systemRandom)
  const expires = new Date(context.now().getTime() + seconds * 1000).toISOString()
  // Never over another: the answer to a challenge that was replaced would be lost.
  createSecretFile(flags.state, jsonText(stateOf(examined, secretDigest, expires)))
  await writeCredential(flags, encodeCredentialFile(credential))
  context.out(
    flags.json === true
      ? jsonText({ ...answer, expires, credential: flags.credential })
      : `${flags.credential} is for the TPM; its answer is awaited until ${expires}\n`,
  )
}

/** Without it the state is of a challenge that nobody can answer, and in the way of the next one. */
async function writeCredential(
  { credential, state }: ChallengeFlags,
  bytes: Uint8Array,
): Promise<void> {
  try {
    await writeFile(credential, bytes, { flag: 'wx' })
  } catch (cause) {
    rmSync(state)
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    const detail = exists ? `${credential} is there already` : `cannot write ${credential}`
    throw usage('credential', detail, cause)
  }
}

async function examineKeys(flags: ChallengeFlags, context: CliContext): Promise<Examined> {
  const now = flags.at === undefined ? context.now() : parseTime(flags.at)
  const [ekCertificate, ...issuers] = certificatesIn(await readInput(flags.ekCertificate, context))
  if (ekCertificate === undefined) throw usage('ek-certificate', 'no certificate, DER or PEM')
  if (flags.withoutCrl?.trim() === '') throw usage('without-crl', 'say why')
  const anchors = await withUnsafeAnchors(flags.root, 'tpm', context)
  const roots = flags.root.filter((root) => !SHA256.test(root))
  for (const root of roots) issuers.push(...certificatesIn(await readInput(root, context)))
  const { endorsements } = await readEndorsements(flags.endorsements ?? [])
  const akPublic = await readInput(flags.ak, context)
  return examine(
    { ekCertificate, issuers, akPublic, withoutCrl: flags.withoutCrl },
    { endorsements, anchors, now, crypto, memo: createMemo(MEMO_ENTRIES) },
  )
}

/** What {@link STATE} reads. */
function stateOf({ checks, ak, ek }: Examined, secretSha256: string, expires: string) {
  const revocation = checks.find(({ id }) => id === 'tpm.ek.revocation')
  const { outcome, expected = '', actual = '' } = revocation ?? {}
  return {
    vouchsafe: 'tpm-challenge',
    expires,
    secretSha256,
    ak,
    ek: { ...ek, subject: clean(ek.subject), issuer: clean(ek.issuer) },
    revocation: clean(outcome === 'pass' ? actual : `not asked: ${expected}`),
  }
}

async function enroll(flags: EnrollFlags, context: CliContext): Promise<void> {
  const blame = { code: 'ERR_STATE_INVALID', at: 'tpm.state' } as const
  const state = STATE.parse(parseJson(readSecretFile(flags.state), blame), blame)
  const { ak, ek, expires, revocation } = state
  if (!(context.now() <= new Date(expires))) {
    const detail = `the challenge ended ${expires}; make another`
    throw new VouchsafeError({ code: 'ERR_NONCE_UNKNOWN', at: 'tpm.challenge' }, detail)
  }
  const answer = await readInput(flags.secret, context)
  const good = await isAnswer(answer, fromHex(state.secretSha256, blame), { crypto })
  answer.fill(0)
  if (!good) {
    const detail =
      'this is not the secret that was sent; run tpm2_activatecredential on the credential of this challenge, with both keys loaded'
    throw new VouchsafeError({ code: 'ERR_KEY_UNWRAP_FAILED', at: 'tpm.secret' }, detail)
  }
  // Gone before anything is printed: an answer counts once.
  rmSync(flags.state)
  if (flags.json === true) {
    context.out(jsonText({ ak, ek, revocation }))
    return
  }
  context.out(
    table([
      ['pin', ak.pin],
      ['name', ak.name],
      ['EK key', ek.key],
      [
        'EK certificate',
        `${clean(ek.subject) || 'no subject'}, serial ${ek.serial}, by ${clean(ek.issuer)}`,
      ],
      ['root', ek.root],
      ['revocation', clean(revocation)],
    ]),
  )
  context.out('Put the pin into verifier.tpmKeys.\n')
}

function certificatesIn(bytes: Uint8Array): readonly Uint8Array[] {
  return derBlocks(bytes, 'CERTIFICATE', 'ek-certificate')
}

/** Attacks a and b: evidence that lies, and evidence that tells an unwelcome truth. @packageDocumentation */
import { parseTdxQuote } from '../../core/evidence/tdx/report.ts'
import { type Keyset, parseKeyset } from '../../core/sealing/keyset.ts'
import type { Service } from '../setup.ts'
import { MODEL, readToken } from '../state.ts'
import { call, short, type World } from '../world.ts'
import { type Attempt, appraise, askForKey, attackersKeyset, type Verdict } from './attester.ts'

/** TDATTRIBUTES in a version 4 quote: header of 48 bytes, then four fields of the TD report. */
const TD_ATTRIBUTES_AT = 48 + 16 + 48 + 48 + 8
const DEBUG = 1
const SIGNATURE_CHECK = 'dcap.quote.signature'
const DEBUG_CHECK = 'tdx.debug'
const REFERENCE_CHECK = 'simulated.reference_values'

/** Attack a. */
export async function flipOneBit(world: World, service: Service): Promise<void> {
  const { stage } = world
  stage.heading('a. One bit of the quote is flipped')
  stage.say('A TD under a debugger hides it: the DEBUG bit is cleared after the quote was signed.')
  const honest = await attemptOf(world, service)
  const control = await appraise(world, honest)
  stage.expect({
    what: 'control: an untouched quote of the same machine, without debugger, is affirmed',
    held: control.tier === 'affirming',
    found: control.tier,
  })
  let flips = 0
  const tamper = (quote: Uint8Array): Uint8Array => {
    const flipped = Uint8Array.from(quote)
    flipped[TD_ATTRIBUTES_AT] = (quote[TD_ATTRIBUTES_AT] ?? 0) ^ DEBUG
    const [before, after] = [quote, flipped].map(
      (bytes) => parseTdxQuote(bytes).report.tdAttributes[0],
    )
    if (before === DEBUG && after === 0) flips++
    return flipped
  }
  const verdict = await appraise(world, { ...honest, td: { debug: true }, tamper })
  refusedByVerifier(world, verdict, {
    attack: 'one bit flipped in the quote',
    check: SIGNATURE_CHECK,
    also: flips === 1,
  })
}

/** Attack b, and the same with other software. */
export async function askWithWrongEnclave(world: World, service: Service): Promise<void> {
  const { stage } = world
  const honest = await attemptOf(world, service)
  stage.heading('b. A debug enclave asks for the key')
  stage.say('Everything is genuine and signed, but a debugger may read its memory.')
  await tryBoth(
    world,
    { ...honest, td: { debug: true } },
    {
      attack: 'debug enclave',
      check: DEBUG_CHECK,
    },
  )
  stage.heading('b, once more. An enclave with other software asks for the key')
  stage.say('Everything is genuine and signed, but RTMR2 is not what we built.')
  await tryBoth(
    world,
    { ...honest, td: { measurements: { rtmr2: 'ab'.repeat(48) } } },
    {
      attack: 'other software',
      check: REFERENCE_CHECK,
    },
  )
}

async function tryBoth(
  world: World,
  attempt: Attempt,
  about: { readonly attack: string; readonly check: string },
): Promise<void> {
  const verdict = await appraise(world, attempt)
  refusedByVerifier(world, verdict, about)
  const { status, body } = await askForKey(world, attempt, verdict)
  world.stage.refused({
    attack: `${about.attack}, key release`,
    refusedBy: 'the key broker',
    reason: `${status} ${String(body['code'])} at ${String(body['at'])}`,
    held: status === 403 && body['code'] === 'ERR_RESULT_NOT_AFFIRMING' && !('jwe' in body),
  })
}

function refusedByVerifier(
  { stage }: World,
  { tier, failed }: Verdict,
  {
    attack,
    check,
    also = true,
  }: { readonly attack: string; readonly check: string; readonly also?: boolean },
): void {
  const why = failed.find(({ id }) => id === check)
  const reason =
    why === undefined
      ? failed.map(({ id }) => id).join(', ')
      : `${why.id}: ${short(why.actual, 70)}`
  stage.refused({
    attack,
    refusedBy: `the verifier (${tier})`,
    reason,
    held: tier === 'contraindicated' && why !== undefined && also,
  })
}

async function attemptOf(world: World, { url }: Service): Promise<Attempt> {
  return { url, keyset: await attackersKeyset(await publishedKeyset(world, url)) }
}

/** The keyset of the real enclave; anybody with an API key can see it. */
async function publishedKeyset(world: World, url: string): Promise<Keyset> {
  const token = await readToken(world.paths.clientKey)
  const query = `nonce=${'00'.repeat(32)}&model=${MODEL}`
  const { body } = await call(world, `${url}/v1/keyset?${query}`, { token })
  return parseKeyset(body['keyset'])
}

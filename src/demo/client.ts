/** Act 4: an unmodified OpenAI client, sealed to an enclave it has verified itself. @packageDocumentation */
import type OpenAI from 'openai'
import { connect, type SecureSession, type VerificationReport } from '../client/index.ts'
import { createPlatform } from '../platform/node.ts'
import { showBlindness } from './blindness.ts'
import type { Enclave } from './enclave.ts'
import { showReceipts } from './receipts.ts'
import type { Sealed, Service } from './setup.ts'
import { MODEL, readJson, readToken, writePin } from './state.ts'
import { openTap } from './tap.ts'
import { short, type World } from './world.ts'

/** What was asked, and is looked for in places where it must not be. */
export const PROMPT = 'Who can see my prompts in plaintext?'
const SENTENCES = [
  'The kitten slept on the sofa.',
  'A cat was napping on the couch.',
  'Interest rates rose again this quarter.',
] as const
/** Checks that answer to what is in the pin. */
const PINNED = [
  ['dcap.pck.anchor', 'signed up to the pinned root, which is SIMULATED'],
  ['simulated.reference_values', 'measured as the pinned reference values say'],
  ['simulated.binding.report_data', 'the quote vouches for the keys that we seal to'],
  ['client.model.manifest', 'the model is the one that was sealed'],
  ['client.log.inclusion', 'the keys are in the log, under its pinned key'],
] as const
/** The chat model quotes three passages; one is enough here. Clients may say where to stop. */
const STOP = '\n\n[2]'
const DIMENSIONS = 512

/** What the acts after this one need. */
export interface ClientSide {
  readonly report: VerificationReport
}

/** Act 4. */
export async function useModel(
  world: World,
  parts: { readonly service: Service; readonly sealed: Sealed; readonly enclave: Enclave },
): Promise<ClientSide> {
  const { stage, paths } = world
  stage.act('Talk to it with an unmodified OpenAI client')
  await writePin(paths, parts.sealed.manifest)
  const tap = await openTap(parts.service.url)
  try {
    const session = await openSession(world, tap.url)
    const report = await stage.during('verifying', session.verify(MODEL))
    showChecks(world, report)
    const client = await openClient(session)
    const answer = await chat(world, client)
    await embed(world, client)
    const ids = await showReceipts(world, session, parts.service)
    const secrets = [PROMPT, answer.slice(0, 60), ...SENTENCES]
    await showBlindness(world, { ...parts, tap, secrets, receiptId: ids[0] ?? '' })
    return { report }
  } finally {
    await tap.close()
  }
}

/** A session that trusts what the pin says and nothing else. */
export async function openSession({ paths }: World, gateway: string): Promise<SecureSession> {
  return connect({
    gateway,
    apiKey: await readToken(paths.clientKey),
    pin: await readJson(paths.pin),
    platform: createPlatform(),
  })
}

/** The client of the `openai` package, as it comes. */
export async function openClient({ baseURL, fetch }: SecureSession): Promise<OpenAI> {
  const { default: Client } = await import('openai')
  return new Client({ baseURL, fetch, apiKey: 'unused: the session has the key of the gateway' })
}

function showChecks({ stage }: World, { checks, verified, nonce }: VerificationReport): void {
  stage.say('Before the first request it asks for evidence over a nonce of its own, and checks:')
  const passed = checks.filter(({ outcome }) => outcome === 'pass')
  const waived = checks.filter(({ outcome }) => outcome === 'waived')
  for (const { id, actual } of passed) stage.line(`pass  ${id.padEnd(34)} ${short(actual, 48)}`)
  stage.line(`${waived.length} more are not asked, each for a reason that the policy states`)
  stage.expect({
    what: 'every check passed that the pin asks for',
    held: verified && passed.length > 40 && passed.length + waived.length === checks.length,
    found: `${passed.length} checks, over nonce ${short(nonce, 16)}`,
  })
  for (const [id, what] of PINNED) {
    const check = checks.find((one) => one.id === id)
    stage.expect({
      what,
      held: check?.outcome === 'pass',
      found: short(check?.actual ?? 'absent', 48),
    })
  }
}

async function chat({ stage, signal }: World, client: OpenAI): Promise<string> {
  stage.heading('Chat, streamed')
  stage.say(`> ${PROMPT}`)
  const stream = await client.chat.completions.create(
    {
      model: MODEL,
      messages: [{ role: 'user', content: PROMPT }],
      stop: STOP,
      stream: true,
    },
    { signal },
  )
  const show = stage.stream()
  let [text, events, finish] = ['', 0, '']
  for await (const { choices } of stream) {
    const [choice] = choices
    const more = choice?.delta.content ?? ''
    show(more)
    text += more
    events++
    finish = choice?.finish_reason ?? finish
  }
  show('\n')
  stage.expect({
    what: 'answered, streamed to its end (passages found by meaning; nothing is generated)',
    held: events > 5 && text.length > 100 && finish === 'stop',
    found: `${events} events, ${text.length} characters`,
  })
  const [, passage = ''] = /\[1\] ([^]+)/.exec(text) ?? []
  return passage
}

async function embed({ stage, signal }: World, client: OpenAI): Promise<void> {
  stage.heading('Embeddings')
  const { data } = await client.embeddings.create(
    { model: MODEL, input: [...SENTENCES] },
    { signal },
  )
  const [a = [], b = [], c = []] = data.map(({ embedding }) => embedding)
  const [near, far] = [cosine(a, b), cosine(a, c)]
  stage.line(`${near.toFixed(2)}  "${SENTENCES[0]}"  "${SENTENCES[1]}"`)
  stage.line(`${far.toFixed(2)}  "${SENTENCES[0]}"  "${SENTENCES[2]}"`)
  stage.expect({
    what: 'real vectors: what means the same is closer',
    held: data.length === 3 && a.length === DIMENSIONS && near > far + 0.1,
    found: `${data.length} of ${a.length} dimensions`,
  })
}

function cosine(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
}

/** Attack c: a gateway that puts its own keys in the enclave's place. @packageDocumentation */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { EnclaveRefusedError } from '../../client/index.ts'
import { generateKeyPair } from '../../core/sealing/kem.ts'
import { keyConfigOf } from '../../core/sealing/key-config.ts'
import { type Keyset, keysetDigest, parseKeyset, sealingKeyOf } from '../../core/sealing/keyset.ts'
import { statementText } from '../../core/sealing/statement.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { createSealingCrypto } from '../../drivers/sealing/node.ts'
import { openClient, openSession, PROMPT } from '../client.ts'
import type { Service } from '../setup.ts'
import { MODEL } from '../state.ts'
import { listen } from '../tap.ts'
import { call, short, type World } from '../world.ts'

const crypto = createCrypto()
const KEM = 0x647a

/** What went through the lying gateway. */
interface Seen {
  keysets: number
  /** Requests that carried anything: sealed or not, there must be none. */
  bodies: number
}

/** Attack c. */
export async function swapKeyset(world: World, { url }: Service): Promise<void> {
  const { stage, signal } = world
  stage.heading('c. A gateway swaps the keys')
  stage.say('It answers with sealing keys of its own, and with a statement that fits them.')
  const seen: Seen = { keysets: 0, bodies: 0 }
  const gateway = await lie(world, url, seen)
  try {
    const session = await openSession(world, gateway.url)
    const client = await openClient(session)
    const messages = [{ role: 'user', content: PROMPT }] as const
    const error: unknown = await client.chat.completions
      .create({ model: MODEL, messages: [...messages] }, { signal })
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )
    const code =
      typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
    const failed = await failedChecks(session.verify(MODEL))
    const bound = failed.find(({ id }) => id === 'simulated.binding.report_data')
    stage.line(`the quote vouches for      ${short(bound?.actual ?? 'absent', 40)}`)
    stage.line(`the statement needs it for ${short(bound?.expected ?? 'absent', 40)}`)
    stage.refused({
      attack: 'keyset swapped by the gateway',
      refusedBy: 'the client',
      reason: `${String(code)}: ${failed.map(({ id }) => id).join(', ')}`,
      held:
        code === 'ERR_KEYSET_REFUSED' &&
        bound !== undefined &&
        failed.some(({ id }) => id === 'client.log.inclusion'),
    })
    stage.expect({
      what: 'nothing was sent, sealed or not',
      held: seen.keysets >= 1 && seen.bodies === 0,
      found: `${seen.keysets} lies told, ${seen.bodies} request bodies seen`,
    })
  } finally {
    await gateway.close()
  }
}

async function failedChecks(
  work: Promise<unknown>,
): Promise<EnclaveRefusedError['report']['checks']> {
  try {
    await work
    return []
  } catch (error) {
    if (!(error instanceof EnclaveRefusedError)) throw error
    return error.report.checks.filter(({ outcome }) => outcome === 'fail')
  }
}

/** A little gateway: it asks the real one, and changes what it likes. */
async function lie(
  world: World,
  target: string,
  seen: Seen,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    request.on('data', () => seen.bodies++)
    const token = request.headers.authorization?.slice('Bearer '.length) ?? ''
    const { status, body } = await call(world, target + (request.url ?? '/'), { token })
    const isKeyset = request.url?.startsWith('/v1/keyset') === true
    const told = isKeyset ? await swapped(body, request.url ?? '') : body
    if (isKeyset) seen.keysets++
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(told))
  }
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  return {
    url: await listen(server),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Evidence, EAR and log proof stay: they are all genuine. */
async function swapped(
  body: Readonly<Record<string, unknown>>,
  path: string,
): Promise<Readonly<Record<string, unknown>>> {
  const genuine = parseKeyset(body['keyset'])
  const own = await withOwnKeys(genuine)
  const digest = await keysetDigest(own, crypto)
  const nonce = new URL(path, 'http://gateway').searchParams.get('nonce') ?? ''
  const statement = statementText({ keysetDigest: digest, nonce })
  return { ...body, keyset: own, keyset_digest: digest, statement }
}

async function withOwnKeys(keyset: Keyset): Promise<Keyset> {
  const { publicKey } = await generateKeyPair(KEM, createSealingCrypto())
  const e2ee_public_keys = keyset.e2ee_public_keys.map(({ key_id }, i) =>
    sealingKeyOf(key_id, keyConfigOf(i, KEM, publicKey)),
  )
  return { ...keyset, e2ee_public_keys }
}

/** Attack d: a log that forgets a release. @packageDocumentation */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { concat } from '../../core/bytes/bytes.ts'
import { encodeLeaf, type Leaf } from '../../core/tlog/leaf.ts'
import { hashLeaf, rootAt } from '../../core/tlog/merkle.ts'
import { parseVkey } from '../../core/tlog/note-key.ts'
import { openCheckpoint, signCheckpoint } from '../../core/tlog/open.ts'
import {
  decodeBundle,
  encodeBundle,
  TILE_WIDTH,
  tiledTree,
  tilePath,
} from '../../core/tlog/tiles.ts'
import { systemClock } from '../../drivers/clock.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { openNoteSigner } from '../../drivers/signer/file.ts'
import type { Enclave } from '../enclave.ts'
import type { Finished } from '../processes.ts'
import type { Service } from '../setup.ts'
import { short, type World } from '../world.ts'

const crypto = createCrypto()
const BLAME = { code: 'ERR_LOG_MALFORMED', at: 'demo.log' } as const

/** A log without the release, in two ways. */
interface Forgeries {
  /** Signed before: same checkpoint, other entries. */
  readonly edited: string
  /** Signed again with the log's own key: consistent in itself. */
  readonly forked: string
}

/** Attack d. An auditor has seen the log once before. */
export async function dropLeaf(
  world: World,
  parts: { readonly service: Service; readonly enclave: Enclave },
): Promise<void> {
  const { stage, paths } = world
  const { service, enclave } = parts
  const audit = async (log: string, ...flags: readonly string[]): Promise<Finished> =>
    world.processes.run(['audit', 'verify', log, '--key', service.logKey, ...flags])
  stage.heading('d. The log drops a leaf')
  stage.say(`Somebody wants leaf ${enclave.log.release} gone: the release of the key.`)
  const before = await audit(`${service.url}/log`, '--state', paths.seen)
  stage.expect({
    what: 'an auditor looks at the log once, and remembers its checkpoint',
    held: before.code === 0,
    found: firstLine(before),
  })
  const { edited, forked } = await forge(world, service, enclave.log.release)
  const checks = Promise.all([audit(edited), audit(forked), audit(forked, '--state', paths.seen)])
  const [onEdited, onForked, onRemembered] = await stage.during('auditing three logs', checks)
  stage.say('It is cut out of entries and tiles; the signed checkpoint stays as it is.')
  refusedByAudit(world, onEdited, { attack: 'log drops a leaf', at: 'log.root' })
  stage.say(
    "Worse: the log's own key signs a new history without it, made longer than the old one.",
  )
  stage.expect({
    what: 'control: that history is consistent in itself, so a newcomer cannot tell',
    held: onForked.code === 0,
    found: firstLine(onForked),
  })
  refusedByAudit(world, onRemembered, { attack: 'log forked by its own operator', at: 'log.seen' })
  await Promise.all([edited, forked].map(async (path) => rm(path, { recursive: true })))
}

function refusedByAudit(
  { stage }: World,
  { code, stderr }: Finished,
  { attack, at }: { readonly attack: string; readonly at: string },
): void {
  const held = code === 10 && stderr.startsWith(`ERR_LOG_INCONSISTENT at ${at}:`)
  stage.refused({
    attack,
    refusedBy: `audit verify (exit code ${code ?? 'none'})`,
    reason: stderr.trim(),
    held,
  })
}

function firstLine({ stdout, stderr }: Finished): string {
  return short((stdout === '' ? stderr : stdout).split('\n')[0] ?? '', 60)
}

async function forge(world: World, service: Service, release: number): Promise<Forgeries> {
  const { root, log, logKey } = world.paths
  const key = await parseVkey(service.logKey, crypto)
  const identity = { origin: key.name, keys: [key] }
  const note = new Uint8Array(await readFile(join(log, 'checkpoint')))
  const { checkpoint } = await openCheckpoint(note, identity, crypto)
  const { size } = checkpoint
  if (size > TILE_WIDTH) throw new RangeError(`a log of ${size} is longer than this demo makes`)
  const bundle = { level: 'entries', index: 0, width: size } as const
  const bytes = new Uint8Array(await readFile(join(log, tilePath(bundle))))
  const kept = decodeBundle(bytes, size, BLAME).filter((_, index) => index !== release)
  const padding = encodeLeaf(innocent(Math.floor(systemClock().getTime() / 1000)))
  const [edited, forked] = [join(root, 'log-edited'), join(root, 'log-forked')]
  for (const target of [edited, forked]) await cp(log, target, { recursive: true })
  await writeTree(edited, [...kept, padding])
  const longer = [...kept, padding, padding, padding]
  const newRoot = await writeTree(forked, longer)
  const signer = await openNoteSigner(logKey, key.name, crypto)
  const next = { ...checkpoint, size: longer.length, root: newRoot }
  await writeFile(join(forked, 'checkpoint'), await signCheckpoint(next, [signer], 1))
  return { edited, forked }
}

/** Something harmless, to make up the number. */
function innocent(time: number): Leaf {
  return { v: 1, type: 'policy', time, id: 'demo', digest: `sha256:${'00'.repeat(32)}` }
}

/** Entries, and the hashes that belong to them. @returns The root. */
async function writeTree(log: string, entries: readonly Uint8Array[]): Promise<Uint8Array> {
  const width = entries.length
  const hashes = await Promise.all(entries.map(async (entry) => hashLeaf(crypto, entry)))
  const files = [
    [tilePath({ level: 'entries', index: 0, width }), encodeBundle(entries)],
    [tilePath({ level: 0, index: 0, width }), concat(...hashes)],
  ] as const
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(log, path)), { recursive: true })
    await writeFile(join(log, path), bytes)
  }
  return rootAt(
    tiledTree(crypto, width, async () => hashes),
    width,
  )
}

/** Act 6: the whole log checked, every decision made again, one release proved offline. @packageDocumentation */
import { readdir } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Enclave } from './enclave.ts'
import type { Finished } from './processes.ts'
import type { Service } from './setup.ts'
import type { World } from './world.ts'

/** The debug enclave, and the one with other software. */
const REFUSALS = 2
/** The enclave's, the control's, the flipped one's, and those two. */
const APPRAISALS = 5

/** Act 6. Stops the service before the last check. */
export async function auditAll(
  world: World,
  parts: { readonly service: Service; readonly enclave: Enclave },
): Promise<void> {
  const { stage, processes, paths } = world
  const { service, enclave } = parts
  stage.act('Audit: trust none of it')
  const log = `${service.url}/log`
  const key = ['--key', service.logKey]
  const root = ['--simulated-root', service.simulatedRoot]
  const index = String(enclave.log.release)
  const runs = Promise.all([
    processes.run(['audit', 'verify', log, ...key, '--state', paths.seen, '--json']),
    processes.run(['audit', 'replay', log, ...key, ...root, '--json']),
    processes.run(['audit', 'bundle', index, '--log', log, ...key, '--output', paths.bundle]),
  ])
  const [verified, replayed, bundled] = await stage.during('auditing', runs)
  stage.command(`audit verify ${log} --key … --state ${basename(paths.seen)}`)
  showLeaves(world, verified)
  stage.command(`audit replay ${log} --key … --simulated-root …`)
  showReplay(world, replayed)
  stage.command(`audit bundle ${index} --log ${log} --key … --output ${basename(paths.bundle)}`)
  const what = 'the release, with its proof and all it rests on, is in one file'
  stage.expect({ what, held: bundled.code === 0, found: bundled.stderr })
  await stopAll(world, parts)
  stage.command(`audit verify-bundle ${basename(paths.bundle)} --key … --simulated-root …`)
  const run = processes.run(['audit', 'verify-bundle', paths.bundle, ...key, ...root, '--json'])
  showBundle(world, await stage.during('checking offline', run), enclave)
}

function showLeaves({ stage }: World, { code, stdout, stderr }: Finished): void {
  const { size = 0, leaves = {} } = parse<{ size: number; leaves: Record<string, number> }>(stdout)
  const { appraisal, release, refusal, keyset } = leaves
  stage.expect({
    what: 'every entry hashes to the signed root, which contains the checkpoint seen before',
    held:
      code === 0 &&
      release === 1 &&
      refusal === REFUSALS &&
      appraisal === APPRAISALS &&
      keyset === 1,
    found:
      code === 0
        ? `${size} leaves: ${Object.entries(leaves)
            .map(([type, count]) => `${count} ${type}`)
            .join(', ')}`
        : stderr,
  })
}

function showReplay({ stage }: World, { code, stdout, stderr }: Finished): void {
  const { size, counts = {} } = parse<{ size: number; counts: Record<string, number> }>(stdout)
  const { same = 0, differs, unreplayable, 'not-replayed': plain = 0 } = counts
  // At least those: whatever else in the log follows from something is made again too.
  const decisions = APPRAISALS + REFUSALS + 1
  const allSame = same >= decisions && differs === 0 && unreplayable === 0
  const numbers = `${same} the same, ${differs ?? '?'} differ, ${unreplayable ?? '?'} cannot be replayed`
  stage.expect({
    what: 'every appraisal, release and refusal, made again from the blobs, is the same',
    held: code === 0 && allSame && same + plain === size,
    found: stdout === '' ? stderr : numbers,
  })
}

/** SIGTERM, as a person or a supervisor would. */
async function stopAll(
  { stage, store }: World,
  { service, enclave }: { readonly service: Service; readonly enclave: Enclave },
): Promise<void> {
  const codes = [await enclave.running.stop(), await service.running.stop()]
  const left = await readdir(store.path)
  stage.expect({
    what: 'enclave and service stop cleanly; no weights are left behind',
    held: codes.every((code) => code === 0) && left.length === 0,
    found: `exit codes ${codes.join(' and ')}`,
  })
}

function showBundle({ stage }: World, { code, stdout, stderr }: Finished, { log }: Enclave): void {
  const { index, replay } = parse<{ index: number; replay: { outcome: string } }>(stdout)
  stage.expect({
    what: 'with nothing running, the file alone proves the release and its reasons',
    held: code === 0 && index === log.release && replay?.outcome === 'same',
    found: code === 0 ? `leaf ${index ?? '?'}, decided again: ${replay?.outcome ?? '?'}` : stderr,
  })
}

function parse<T>(stdout: string): Partial<T> {
  return stdout === '' ? {} : (JSON.parse(stdout) as Partial<T>)
}

/** What the gateway and its process have seen: looked for, everywhere they could have kept it. @packageDocumentation */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Enclave } from './enclave.ts'
import type { Service } from './setup.ts'
import type { Tap } from './tap.ts'
import type { World } from './world.ts'

interface Search {
  readonly service: Service
  readonly enclave: Enclave
  readonly tap: Tap
  /** Parts of prompts and answers. */
  readonly secrets: readonly string[]
  /** Something that the gateway must have kept: a search that finds nothing proves nothing. */
  readonly receiptId: string
}

/** Looks for plaintext on the wire, in every file of the service, and in what it has logged. */
export async function showBlindness(
  { stage, paths }: World,
  { service, enclave, tap, secrets, receiptId }: Search,
): Promise<void> {
  stage.heading('What the gateway saw')
  const wire = tap.recorded()
  const files = await readFiles(paths.data)
  const stored = Buffer.concat(files)
  const logs = Buffer.from(service.running.output() + enclave.running.output())
  stage.expect({
    what: 'the search finds what is there: a sealed request on the wire, a receipt in the store',
    held:
      wire.includes('message/ohttp-chunked-req') && receiptId !== '' && stored.includes(receiptId),
    found: `${kilobytes(wire)} on the wire, ${kilobytes(stored)} in ${files.length} files, ${kilobytes(logs)} of logs`,
  })
  const places = { 'on the wire': wire, 'in its data directory': stored, 'in any log': logs }
  for (const [name, bytes] of Object.entries(places)) {
    const found = secrets.filter((secret) => bytes.includes(secret))
    stage.expect({
      what: `no prompt and no answer ${name}`,
      held:
        secrets.length > 0 && secrets.every((secret) => secret.length > 20) && found.length === 0,
      found: found.length === 0 ? 'not found' : `found: ${found.join('; ')}`,
    })
  }
}

async function readFiles(root: string): Promise<readonly Buffer[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const contents: Buffer[] = []
  for (const { parentPath, name } of files) {
    try {
      contents.push(await readFile(join(parentPath, name)))
    } catch (error) {
      // A tile or a journal of SQLite may have been replaced since it was listed.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return contents
}

function kilobytes(bytes: Uint8Array): string {
  return `${Math.ceil(bytes.length / 1000)} kB`
}

/**
 * Good inputs to begin with: minted ones always; real captures, read in place, where the shared folder
 * is there; and the small inputs of `fixtures/fuzz` that showed something in an earlier run.
 *
 * @packageDocumentation
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { VouchsafeError } from '../../src/core/errors.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { sharedDir } from '../support/shared.ts'

const FIXTURES = join(import.meta.dirname, '../../fixtures/fuzz')
/** Larger ones make a slow start and find nothing that others do not. */
const MAX_SEED = 48 * 1024

interface Capture {
  readonly file: string
  readonly role: string
}

/** What an earlier run kept for this target. */
export function keptSeeds(id: string): readonly Uint8Array[] {
  const directory = join(FIXTURES, id.replaceAll(/[^a-z0-9-]/g, '-'))
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .toSorted()
    .map((name) => new Uint8Array(readFileSync(join(directory, name))))
}

/** Files of the shared folder's evidence whose path passes. */
export function captures(wanted: (capture: Capture) => boolean): readonly Uint8Array[] {
  const shared = sharedDir()
  if (shared === undefined) return []
  const manifest = JSON.parse(readFileSync(join(shared, 'evidence/MANIFEST.json'), 'utf8')) as {
    readonly files: readonly Capture[]
  }
  return manifest.files
    .filter(wanted)
    .map(({ file }) => new Uint8Array(readFileSync(join(shared, 'evidence', file))))
    .filter(({ length }) => length <= MAX_SEED)
}

/** Captured evidence of one format, as its parser gets it. */
export function capturesOf(format: FormatId): readonly Uint8Array[] {
  return captures(({ role }) => role === 'evidence').flatMap((bytes) => {
    try {
      const opened = openEvidence(bytes)
      return opened.format.id === format ? [opened.evidence] : []
    } catch (err) {
      // Of no format at all: a seed for those who unwrap, and for no format.
      if (err instanceof VouchsafeError) return []
      throw err
    }
  })
}

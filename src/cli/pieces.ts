/** Evidence out of files: a list of devices is several pieces. @packageDocumentation */
import type { Part } from '../core/appraisal/parts.ts'
import { splitDevices } from '../core/evidence/nvidia-spdm/evidence.ts'
import type { CliContext } from './context.ts'
import { openInput, readInput } from './inputs.ts'

/** Evidence of one device, and where it is from: `file`, or `file[0]` in a list. */
export interface Piece extends Part {
  readonly file: string
}

/**
 * The evidence in files, in their order.
 *
 * @param format - A format's name, for all of it, or `auto`.
 * @throws {@link VouchsafeError} as `readInput` and `openInput`.
 */
export async function piecesOf(
  files: readonly string[],
  format: string,
  context: CliContext,
): Promise<readonly Piece[]> {
  const pieces: Piece[] = []
  for (const file of files) {
    const opened = openInput(await readInput(file, context), format)
    const parts = isOfNvidia(opened.format.id) ? splitDevices(opened.evidence) : []
    if (parts.length < 2) pieces.push(pieceOf(file, opened))
    else pieces.push(...parts.map((part, i) => pieceOf(`${file}[${i}]`, openInput(part, format))))
  }
  return pieces
}

function pieceOf(file: string, { format, evidence }: ReturnType<typeof openInput>): Piece {
  return { file, format: format.id, evidence }
}

function isOfNvidia(format: Part['format']): boolean {
  return format === 'nvidia-gpu' || format === 'nvidia-switch'
}

/** Columns with their types; a STRICT table can still be of another version of us. @packageDocumentation */
import type { SQLOutputValue } from 'node:sqlite'
import { VouchsafeError } from '../../../core/errors.ts'

/** A row by column name. */
export type Row = Readonly<Record<string, SQLOutputValue>>

/** @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the column holds anything else. */
export function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value === 'string') return value
  throw invalid(column, 'no text')
}

/** @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the column holds anything else. */
export function integer(row: Row, column: string): number {
  const value = row[column]
  if (typeof value === 'number') return value
  throw invalid(column, 'no integer')
}

/** @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the column holds anything else. */
export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column)
}

function invalid(column: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_STATE_INVALID', at: `store.${column}` }, detail)
}

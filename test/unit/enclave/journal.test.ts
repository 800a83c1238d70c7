import { expect, it } from 'vitest'
import { createLineJournal, SILENT } from '../../../src/enclave/journal.ts'

it('one line a step, labelled, that no peer can forge another into', () => {
  const lines: string[] = []
  const journal = createLineJournal((line) => lines.push(line), 'simulated')
  journal.step('Done', { a: 1, b: 'x\n[real] Enclave verified\u2028\u001b[2J' })
  journal.warn('careful')
  expect(lines).toEqual([
    '[simulated] Done  a=1  b=x [real] Enclave verified  [2J',
    '[simulated] warning: careful',
  ])
  const plain: string[] = []
  createLineJournal((line) => plain.push(line)).step('Done')
  expect(plain).toEqual(['Done'])
  SILENT.step('nothing')
  SILENT.warn('nothing')
})

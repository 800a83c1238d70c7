import { expect, it } from 'vitest'
import { createStage, type Look } from '../../../src/demo/stage.ts'

const plain = (): { readonly look: Look; readonly text: () => string } => {
  let text = ''
  const write = (more: string): void => {
    text += more
  }
  return { look: { write, paint: (more) => more, live: false }, text: () => text }
}

it('keeps what was expected, act by act, with the time it took', () => {
  let now = 0
  const { look, text } = plain()
  const stage = createStage(look, () => now)
  stage.act('one')
  stage.expect({ what: 'good', held: true, found: 'so' })
  now = 1_250
  stage.act('two')
  stage.refused({ attack: 'a', refusedBy: 'nobody', reason: 'none', held: false })
  now = 2_000
  const refused = { what: 'refused by nobody', held: false, found: 'none' }
  expect(stage.record()).toEqual({
    acts: [
      { title: 'one', seconds: 1.3, expectations: [{ what: 'good', held: true, found: 'so' }] },
      { title: 'two', seconds: 0.8, expectations: [refused] },
    ],
    attacks: [{ attack: 'a', refusedBy: 'nobody', reason: 'none', held: false }],
  })
  expect(text()).toContain('✓ good  so')
  expect(text()).toContain('✗ refused by nobody  none')
})

it('wraps a stream between words, wherever its parts are cut', () => {
  const words = Array.from({ length: 60 }, (_, i) => `word${i}`)
  const whole = `${words.join(' ')}\n\nend`
  const shown = (parts: readonly string[]): string => {
    const { look, text } = plain()
    const show = createStage(look, () => 0).stream()
    for (const part of parts) show(part)
    return text()
  }
  const all = shown([whole])
  const lines = all.split('\n')
  expect(lines.every((line) => line.length <= 96 && !line.endsWith(' '))).toBe(true)
  expect(all.split(/\s+/).filter((word) => word !== '')).toEqual([...words, 'end'])
  expect(lines.at(-2)).toBe('')
  expect(shown(whole.split(/(?<= )/))).toBe(all)
})

it('redraws only for a terminal, and passes on what the work gives', async () => {
  const { look, text } = plain()
  await expect(createStage(look, () => 0).during('work', Promise.resolve(7))).resolves.toBe(7)
  expect(text()).toBe('')
  const live = createStage({ ...look, live: true }, () => 0)
  await expect(live.during('work', Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(text()).toContain('work')
  expect(text().endsWith('\r\u001B[K')).toBe(true)
})

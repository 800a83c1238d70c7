/** The dependency rules hold, and each of them catches what it is there for. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cruise, type ICruiseOptions } from 'dependency-cruiser'
import { afterAll, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const config = createRequire(import.meta.url)(join(root, '.dependency-cruiser.cjs')) as {
  forbidden: NonNullable<NonNullable<ICruiseOptions['ruleSet']>['forbidden']>
  options: ICruiseOptions
}
const scratch = mkdtempSync(join(tmpdir(), 'vouchsafe-arch-'))
afterAll(() => {
  rmSync(scratch, { recursive: true })
})

async function violations(baseDir: string): Promise<string[]> {
  // The rules are about paths; type resolution is the compiler's.
  const options = { ...config.options }
  delete options.tsConfig
  const ruleSet = { forbidden: config.forbidden }
  const { output } = await cruise(['src'], { ...options, validate: true, ruleSet, baseDir })
  if (typeof output === 'string') throw new Error('want a result, not a report')
  return output.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`)
}

it('the tree obeys every rule', async () => {
  expect(await violations(root)).toEqual([])
})

/** Rule, a file, and what it must not import. */
const BREAKERS: readonly (readonly [string, string, string])[] = [
  ['core-is-pure', 'src/core/a.ts', 'node:fs'],
  ['core-imports-only-core', 'src/core/a.ts', '../drivers/b.ts'],
  ['tee-folders-are-strangers', 'src/core/evidence/tdx/a.ts', '../nitro/b.ts'],
  ['shared-tee-code-knows-no-tee', 'src/core/evidence/common/a.ts', '../intel-dcap/b.ts'],
  ['drivers-import-only-core', 'src/drivers/kek/a.ts', '../../server/b.ts'],
  ['drivers-are-strangers', 'src/drivers/kek/a.ts', '../blob/b.ts'],
  ['drivers-are-strangers', 'src/drivers/files/a.ts', '../blob/b.ts'],
  ['server-imports-only-core', 'src/server/a.ts', '../gateway/b.ts'],
  ['roles-are-strangers', 'src/gateway/a.ts', '../keybroker/b.ts'],
  ['client-imports-only-core', 'src/client/a.ts', '../drivers/crypto/web.ts'],
  ['client-is-browser-safe', 'src/client/a.ts', 'node:crypto'],
  ['nothing-imports-cli-or-main', 'src/gateway/a.ts', '../main.ts'],
  ['proxy-is-a-client-with-a-server', 'src/proxy/a.ts', '../gateway/b.ts'],
  ['platform-picks-drivers-for-clients', 'src/platform/a.ts', '../client/b.ts'],
  ['only-edges-pick-a-platform', 'src/client/a.ts', '../platform/node.ts'],
  ['demo-comes-through-the-front-door', 'src/demo/a.ts', '../gateway/b.ts'],
  ['only-the-cli-plays-the-demo', 'src/gateway/a.ts', '../demo/b.ts'],
  ['src-never-imports-testing', 'src/gateway/a.ts', '../testing/index.ts'],
]

it.each(BREAKERS)('%s catches %s importing %s', async (rule, file, target) => {
  const dir = mkdtempSync(join(scratch, 'case-'))
  const write = (path: string, text: string) => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  write(join(dir, file), `import '${target}'\n`)
  if (!target.startsWith('node:')) write(join(dir, dirname(file), target), 'export {}\n')
  expect((await violations(dir)).map((line) => line.split(':')[0])).toContain(rule)
})

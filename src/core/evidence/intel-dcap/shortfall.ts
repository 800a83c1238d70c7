/** Every component in which a platform falls short of a TCB level, and by how much. @packageDocumentation */
import type { PlatformSvns, TcbLevel } from './tcb-info.ts'

/**
 * All that {@link findTcbLevel} compares, in words: `tdxtcbcomponents[2] 3 < 5`.
 *
 * @see Intel PCS API v4, "Get TDX TCB Info", the algorithm under TcbInfo V3
 */
export function shortfallsOf(level: TcbLevel, platform: PlatformSvns): readonly string[] {
  // Of a module with a version, the first two are judged by levels of its own.
  const first = (platform.tdxComponents[1] ?? 0) > 0 ? 2 : 0
  const pce = platform.pceSvn < level.pceSvn ? [`pcesvn ${platform.pceSvn} < ${level.pceSvn}`] : []
  return [
    ...shortIn('sgxtcbcomponents', platform.sgxComponents, level.sgxComponents),
    ...pce,
    ...shortIn(
      'tdxtcbcomponents',
      [...platform.tdxComponents].map((svn, i) => (i < first ? Infinity : svn)),
      level.tdxComponents,
    ),
  ]
}

function shortIn(
  name: string,
  have: readonly number[],
  want: readonly number[],
): readonly string[] {
  return want.flatMap((svn, i) => {
    // Absent is below anything: a short list may not compare as a long one.
    if ((have[i] ?? -1) >= svn) return []
    return [`${name}[${i}] ${have[i] ?? 'absent'} < ${svn}`]
  })
}

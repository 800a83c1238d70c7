/** For routes that are limited in rate, where a test is about something else. */
export const RATE = { rate: { requests: 1e9, windowMs: 60_000 }, clock: () => new Date() } as const

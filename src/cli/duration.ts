/** Durations as people write them on a command line. Pure. */

const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** The seconds of `90s`, `30m`, `24h`, `7d` or `0`. Throws an Error that says what would be right. */
export function secondsOf(text: string): number {
  const [, count, unit = 's'] = /^(\d{1,6})([smhd])$/.exec(text) ?? (text === '0' ? ['', '0'] : []);
  if (count === undefined) throw new Error(`"${text}" must be a time such as 90s, 30m, 24h or 7d`);
  return Number(count) * (units[unit] ?? 1);
}

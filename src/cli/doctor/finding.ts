/** One result of the doctor. */
export interface Finding {
  about: string;
  level: 'ok' | 'warning' | 'fault';
  /** What was found. */
  found: string;
  /** What to change, if there is anything to change. */
  change?: string;
}

/** The findings of the check `look`. If it throws, the finding is a fault with `change`. */
export async function examine(
  about: string,
  change: string,
  look: () => Promise<Omit<Finding, 'about'>[]>,
): Promise<Finding[]> {
  try {
    return (await look()).map((finding) => ({ about, ...finding }));
  } catch (error) {
    return [{ about, level: 'fault', found: (error as Error).message || String(error), change }];
  }
}

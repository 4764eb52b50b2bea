/** What the doctor says of one thing. */
export interface Finding {
  about: string;
  level: 'ok' | 'warning' | 'fault';
  /** What was found. */
  found: string;
  /** What to change, where there is something to. */
  change?: string;
}

/** The findings of a check; a fault with `change` where it throws. */
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

/**
 * The formats of what one step stores or signs and a later step reads. During an upgrade two releases run side by side,
 * so either step may be taken by either of them. Each state says its format, and a state of an unknown format is never
 * taken for a wrong password or a forgery: the person or the app is asked to begin that step again.
 *
 * To change a format takes three releases. The first reads the new one too, and still writes the old one. The second
 * writes the new one. The third reads the old one no more. docs/develop/releasing.md has the table of all states.
 */

export interface Format {
  /** The format that this release writes. The release before it must read this one. */
  writes: number;
  reads: readonly number[];
}

const first: Format = { writes: 1, reads: [1] };

export const formats = {
  /** Between the two messages of a password's proof. */
  passwordProof: first,
  /** Between the two messages of a sign-up. */
  signUp: first,
  /** Authorization requests that wait: pushed ones, and those that wait for a person. */
  request: first,
  /** On the way to a site behind forward-auth. */
  siteCode: first,
  /** The cookie that says where a sign-in continued. */
  trail: first,
  /** A notification that waits for a person's answer. */
  ping: first,
  stepToken: first,
  /** The cookies of sessions, and those of sites behind forward-auth. */
  sessionToken: first,
  accessToken: first,
  /** Rows of `sessions`. */
  session: first,
  /**
   * Rows of `records`: grants, codes, device codes, CIBA requests, registration access tokens. In format 2, which the next
   * release writes, authorization codes and grants repeat neither the grant's nor the account's id in their payload.
   */
  record: { writes: 1, reads: [1, 2] },
} satisfies Record<string, Format>;

export type StateKind = keyof typeof formats;

/** The member of a state that has its format. A state without it has format 1, which is older than this member. */
interface Marked {
  v?: unknown;
}

/** The state with the number of its format. */
export const withFormat = <T extends object>(kind: StateKind, state: T): T & { v: number } => ({
  ...state,
  v: formats[kind].writes,
});

/** Whether this release reads the format of the state. */
export const isReadable = (kind: StateKind, { v = 1 }: Marked): boolean =>
  (formats[kind].reads as readonly unknown[]).includes(v);

/** The text of a state, with the number of its format. */
export const stateText = (kind: StateKind, state: object): string => JSON.stringify(withFormat(kind, state));

/** The state of a text that `stateText` made. Undefined if there is no text, or if this release cannot read it. */
export function stateOf<T extends object>(kind: StateKind, text: string | undefined): T | undefined {
  const state = text === undefined ? undefined : parsed(text);
  if (!state || !isReadable(kind, state)) return undefined;
  const { v: _, ...rest } = state;
  return rest as T;
}

function parsed(text: string): (object & Marked) | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The condition of a row that this release reads. Its table has a column `format`. */
export const readableRow = (kind: 'session' | 'record'): string =>
  `format in (${formats[kind].reads.join(', ')})`;

/** The states of a server key and the transitions between them, as one table. Pure. */

/**
 * - `next`: published in advance, so that APIs have it in time. It opens what another instance already makes with it.
 * - `signing`: makes everything that is new. Every kind has exactly one.
 * - `verifying`: opens what it made, until the last of that has expired.
 * - `retired`: erased.
 */
export type KeyState = 'next' | 'signing' | 'verifying' | 'retired';

/** The facts that decide on transitions. Times are milliseconds since the epoch. */
export interface KeyFacts {
  id: string;
  state: Exclude<KeyState, 'retired'>;
  /** When it entered its state. */
  since: number;
  /** For a verifying key: when the last of what it made has expired. */
  until: number | undefined;
}

/** How long each state of a kind lasts, in milliseconds. */
export interface KeyPolicy {
  /** The age at which a signing key is replaced. Undefined if only a command replaces it. */
  rotateAfterMs: number | undefined;
  /** How long a key is published before it signs. */
  publishAheadMs: number;
  /** The longest lifetime of what such a key makes. */
  lifeMs: number;
}

export interface KeyTransition {
  /** Undefined if the transition makes a new key. */
  from: KeyFacts['state'] | undefined;
  to: KeyState;
  /** `keys`: all keys of the kind. */
  when(key: KeyFacts | undefined, keys: readonly KeyFacts[], policy: KeyPolicy, now: number): boolean;
  because: string;
}

const isReady = (key: KeyFacts, { publishAheadMs }: KeyPolicy, now: number) =>
  key.state === 'next' && key.since + publishAheadMs <= now;

/** All transitions. Each has a state, a condition and a reason, which is logged. */
export const keyTransitions: readonly KeyTransition[] = [
  {
    from: undefined,
    to: 'next',
    when: (_, keys, { rotateAfterMs, publishAheadMs }, now) =>
      rotateAfterMs !== undefined &&
      !keys.some(({ state }) => state === 'next') &&
      keys.some(({ state, since }) => state === 'signing' && since + rotateAfterMs - publishAheadMs <= now),
    because: 'the signing key is nearly as old as keys become',
  },
  {
    from: 'next',
    to: 'signing',
    when: (key, _, policy, now) => key !== undefined && isReady(key, policy, now),
    because: 'it has been published for as long as anybody keeps the keys fetched before',
  },
  {
    from: 'signing',
    to: 'verifying',
    when: (_, keys, policy, now) => keys.some((other) => isReady(other, policy, now)),
    because: 'another one signs from now on, and of each kind one does',
  },
  {
    from: 'verifying',
    to: 'retired',
    when: (key, _, __, now) => key?.until !== undefined && key.until <= now,
    because: 'the last of what it made has expired',
  },
];

export interface DueTransition {
  /** Undefined if a new key is due. */
  key: KeyFacts | undefined;
  to: KeyState;
  because: string;
}

/** The transitions that are due now for the keys of one kind. `now`: milliseconds since the epoch. */
export function dueTransitions(keys: readonly KeyFacts[], policy: KeyPolicy, now: number): DueTransition[] {
  return [undefined, ...keys].flatMap((key) =>
    keyTransitions
      .filter(({ from, when }) => from === key?.state && when(key, keys, policy, now))
      .map(({ to, because }) => ({ key, to, because })),
  );
}

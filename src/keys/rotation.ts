/**
 * Changes the server's keys: on schedule, by command, and in an emergency. Every change is one transaction under a lock,
 * decided by what is there then (states.ts), so that any number of instances and commands make it once. The running
 * instances see it within a second, by their keyrings. Called by keys/watch.ts and by the command line.
 */
import type { Sealer } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';
import type { KeyKinds } from './keyring.ts';
import { type DueTransition, dueTransitions, type KeyPolicy, type KeyState } from './states.ts';
import { eraseKey, insertKey, keepKey, moveKey, readKeys, type StoredKey, whileLocked } from './store.ts';

export interface RotationDeps {
  database: Database;
  sealer: Sealer;
  kinds: KeyKinds;
  /** Of every kind that rotates. */
  policies: Readonly<Record<string, KeyPolicy>>;
  /** Whether something that outlives its key's `until` still needs a key of this kind. */
  inUse(query: Query, key: StoredKey): Promise<boolean>;
  /** Told of each change that was made. */
  onChange(change: KeyChange): void;
  now: () => number;
}

export interface KeyChange {
  kind: string;
  id: string;
  state: KeyState | 'dropped';
  because: string;
}

export interface Rotation {
  /** Whether anything is due by these keys. */
  isDue(keys: readonly StoredKey[]): boolean;
  /** Makes the changes that are due. */
  run(): Promise<void>;
  /**
   * Makes the next key of a kind, if there is none. `made`: false where one waits already, whose id and time are then told.
   * Throws RangeError for a kind that does not rotate.
   */
  rotate(kind: string): Promise<{ id: string; signsAt: number; made: boolean }>;
  /**
   * Erases a key, and so all that was made with it. If it signed, the next one, or else a new one, signs at once. Throws
   * RangeError where there is no such key, or one of its kind must stay.
   */
  drop(id: string): Promise<{ kind: string }>;
}

const dayMs = 86_400_000;

export function createRotation(deps: RotationDeps): Rotation {
  const { database, sealer, kinds, policies, inUse, onChange, now } = deps;

  const due = (keys: readonly StoredKey[]) =>
    Object.entries(policies).flatMap(([kind, policy]) => {
      const ofKind = keys.filter((key) => key.kind === kind);
      return dueTransitions(ofKind, policy, now()).map((transition) => ({ ...transition, kind, policy }));
    });

  const generate = async (kind: string) => {
    const made = await kinds[kind]?.generate();
    if (!made) throw new RangeError(`there is no kind of key "${kind}"`);
    return made;
  };

  /** Runs `work` under the lock; what it reports is told once it is committed. */
  async function change<T>(
    work: (query: Query, keys: StoredKey[], report: (change: KeyChange) => void) => Promise<T>,
  ): Promise<T> {
    const changes: KeyChange[] = [];
    const result = await whileLocked(database, async (query) =>
      work(query, await readKeys(query, sealer), (made) => changes.push(made)),
    );
    for (const made of changes) onChange(made);
    return result;
  }

  /** Returns the change, or undefined where the key is still needed. */
  async function make(
    query: Query,
    { kind, policy, key, to, because }: DueTransition & { kind: string; policy: KeyPolicy },
    bytes: Uint8Array | undefined,
  ): Promise<KeyChange | undefined> {
    if (!key) {
      if (!bytes) return undefined;
      const id = await insertKey(query, sealer, { kind, state: 'next', bytes, now: now() });
      return { kind, id, state: to, because };
    }
    if (to === 'signing') await moveKey(query, key.id, to, now());
    if (to === 'verifying') await moveKey(query, key.id, to, now(), now() + policy.lifeMs);
    if (to === 'retired') {
      if (await inUse(query, key as StoredKey)) {
        await keepKey(query, key.id, now() + dayMs);
        return undefined;
      }
      await eraseKey(query, key.id);
    }
    return { kind, id: key.id, state: to, because };
  }

  return {
    isDue: (keys) => due(keys).length > 0,
    async run() {
      // Made before the lock is taken: it is not held for as long as RSA takes.
      const expected = due(await readKeys(database.query, sealer)).filter(({ key }) => !key);
      const made = new Map<string, Uint8Array>();
      for (const { kind } of expected) made.set(kind, await generate(kind));
      await change(async (query, keys, report) => {
        for (const transition of due(keys)) {
          const changed = await make(query, transition, made.get(transition.kind));
          if (changed) report(changed);
        }
      });
    },
    async rotate(kind) {
      const policy = policies[kind];
      if (!policy) throw new RangeError(`keys of kind "${kind}" do not rotate`);
      const bytes = await generate(kind);
      return change(async (query, keys, report) => {
        const next = keys.find((key) => key.kind === kind && key.state === 'next');
        if (next) return { id: next.id, signsAt: next.since + policy.publishAheadMs, made: false };
        const since = now();
        const id = await insertKey(query, sealer, { kind, state: 'next', bytes, now: since });
        report({ kind, id, state: 'next', because: 'an administrator rotates the keys' });
        return { id, signsAt: since + policy.publishAheadMs, made: true };
      });
    },
    async drop(id) {
      const found = (await readKeys(database.query, sealer)).find((key) => key.id === id);
      if (!found) throw new RangeError(`there is no key ${id}`);
      const { kind } = found;
      if (!policies[kind]) throw new RangeError(`a key of kind "${kind}" cannot be dropped`);
      const bytes = await generate(kind);
      await change(async (query, keys, report) => {
        const key = keys.find((each) => each.id === id);
        if (!key) throw new RangeError(`there is no key ${id}`);
        await eraseKey(query, id);
        report({ kind, id, state: 'dropped', because: 'an administrator drops it' });
        if (key.state !== 'signing') return;
        const next = keys.find((each) => each.kind === kind && each.state === 'next');
        if (next) await moveKey(query, next.id, 'signing', now());
        const follower =
          next?.id ?? (await insertKey(query, sealer, { kind, state: 'signing', bytes, now: now() }));
        report({ kind, id: follower, state: 'signing', because: 'the one before it was dropped' });
      });
      return { kind };
    },
  };
}

/**
 * Changes the server's keys: on schedule, by command, and in an emergency. Every change is one transaction under a
 * lock and is decided from the keys that are there then. So a change is made once, although any number of instances
 * and commands may try. The running instances read it within a second.
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
  /** The policy of every kind that rotates. */
  policies: Readonly<Record<string, KeyPolicy>>;
  /** Whether something still needs this key, although its `until` has passed. */
  inUse(query: Query, key: StoredKey): Promise<boolean>;
  /** Called for each change after it is committed. */
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
  /** Whether a change of these keys is due. */
  isDue(keys: readonly StoredKey[]): boolean;
  /** Makes the changes that are due. */
  run(): Promise<void>;
  /**
   * Makes the next key of a kind if there is none. Otherwise `made` is false, and `id` and `signsAt` belong to the
   * existing one. `signsAt` is in milliseconds since the epoch. Throws RangeError for a kind that does not rotate.
   */
  rotate(kind: string): Promise<{ id: string; signsAt: number; made: boolean }>;
  /**
   * Erases a key, which invalidates everything that was made with it. If it was the signing key, the next key signs
   * at once, or a new one if there is none. Throws RangeError if there is no such key, or if keys of its kind cannot
   * be dropped.
   */
  drop(id: string): Promise<{ kind: string }>;
}

const dayMs = 86_400_000;

type Report = (change: KeyChange) => void;
/** Runs `work` under the lock. The changes that it reports are passed to `onChange` once they are committed. */
type ChangeKeys = <T>(work: (query: Query, keys: StoredKey[], report: Report) => Promise<T>) => Promise<T>;
type DueChange = DueTransition & { kind: string; policy: KeyPolicy };

export function createRotation(deps: RotationDeps): Rotation {
  const { database, sealer, onChange } = deps;
  const change: ChangeKeys = async (work) => {
    const changes: KeyChange[] = [];
    const result = await whileLocked(database, async (query) => {
      // A transaction that PostgreSQL has undone is run once more.
      changes.length = 0;
      return work(query, await readKeys(query, sealer), (made) => changes.push(made));
    });
    for (const made of changes) onChange(made);
    return result;
  };
  return {
    isDue: (keys) => dueOf(deps, keys).length > 0,
    run: () => runDue(deps, change),
    rotate: (kind) => rotateKind(deps, change, kind),
    drop: (id) => dropKey(deps, change, id),
  };
}

const dueOf = ({ policies, now }: RotationDeps, keys: readonly StoredKey[]): DueChange[] =>
  Object.entries(policies).flatMap(([kind, policy]) => {
    const ofKind = keys.filter((key) => key.kind === kind);
    return dueTransitions(ofKind, policy, now()).map((transition) => ({ ...transition, kind, policy }));
  });

async function generate({ kinds }: RotationDeps, kind: string): Promise<Uint8Array> {
  const made = await kinds[kind]?.generate();
  if (!made) throw new RangeError(`there is no kind of key "${kind}"`);
  return made;
}

async function runDue(deps: RotationDeps, change: ChangeKeys): Promise<void> {
  // Generated before the lock is taken, because an RSA key takes long.
  const present = await readKeys(deps.database.query, deps.sealer);
  const made = new Map<string, Uint8Array>();
  for (const { kind, key } of dueOf(deps, present)) if (!key) made.set(kind, await generate(deps, kind));
  await change(async (query, keys, report) => {
    for (const due of dueOf(deps, keys)) {
      const changed = await makeChange(deps, query, due, made.get(due.kind));
      if (changed) report(changed);
    }
  });
}

/**
 * Makes one change. Returns undefined if the key is still in use, or if a new key is due and `bytes` is missing.
 * `bytes`: the new key.
 */
async function makeChange(
  { sealer, inUse, now }: RotationDeps,
  query: Query,
  { kind, policy, key, to, because }: DueChange,
  bytes: Uint8Array | undefined,
): Promise<KeyChange | undefined> {
  if (!key) {
    if (!bytes) return undefined;
    const id = await insertKey(query, sealer, { kind, state: 'next', bytes, now: now() });
    return { kind, id, state: to, because };
  }
  if (to === 'signing') await moveKey(query, key.id, { state: to, now: now() });
  if (to === 'verifying')
    await moveKey(query, key.id, { state: to, now: now(), until: now() + policy.lifeMs });
  if (to === 'retired') {
    if (await inUse(query, key as StoredKey)) {
      await keepKey(query, key.id, now() + dayMs);
      return undefined;
    }
    await eraseKey(query, key.id);
  }
  return { kind, id: key.id, state: to, because };
}

async function rotateKind(
  deps: RotationDeps,
  change: ChangeKeys,
  kind: string,
): ReturnType<Rotation['rotate']> {
  const { policies, sealer, now } = deps;
  const policy = policies[kind];
  if (!policy) throw new RangeError(`keys of kind "${kind}" do not rotate`);
  const bytes = await generate(deps, kind);
  return change(async (query, keys, report) => {
    const next = keys.find((key) => key.kind === kind && key.state === 'next');
    if (next) return { id: next.id, signsAt: next.since + policy.publishAheadMs, made: false };
    const since = now();
    const id = await insertKey(query, sealer, { kind, state: 'next', bytes, now: since });
    report({ kind, id, state: 'next', because: 'an administrator rotates the keys' });
    return { id, signsAt: since + policy.publishAheadMs, made: true };
  });
}

async function dropKey(deps: RotationDeps, change: ChangeKeys, id: string): ReturnType<Rotation['drop']> {
  const { database, sealer, policies, now } = deps;
  const found = (await readKeys(database.query, sealer)).find((key) => key.id === id);
  if (!found) throw new RangeError(`there is no key ${id}`);
  const { kind } = found;
  if (!policies[kind]) throw new RangeError(`a key of kind "${kind}" cannot be dropped`);
  const bytes = await generate(deps, kind);
  await change(async (query, keys, report) => {
    const key = keys.find((each) => each.id === id);
    if (!key) throw new RangeError(`there is no key ${id}`);
    await eraseKey(query, id);
    report({ kind, id, state: 'dropped', because: 'an administrator drops it' });
    if (key.state !== 'signing') return;
    const next = keys.find((each) => each.kind === kind && each.state === 'next');
    if (next) await moveKey(query, next.id, { state: 'signing', now: now() });
    const follower =
      next?.id ?? (await insertKey(query, sealer, { kind, state: 'signing', bytes, now: now() }));
    report({ kind, id: follower, state: 'signing', because: 'the one before it was dropped' });
  });
  return { kind };
}

/**
 * The server's own secrets: token keys, ID-token keys, OPAQUE's seeds and key pairs, and what keyed hashes are made with.
 * They live in PostgreSQL sealed under the key-encryption key, are read at start, and every second it is looked whether
 * another instance or a command has changed them. What a key is for is not known here: how each kind is made is
 * handed in, and who follows is told of every change.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { deriveKey, type Sealer } from '../lib/crypto.ts';
import { unavailable } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Database } from '../storage/database.ts';
import { insertKey, readKeys, type StoredKey, whileLocked } from './store.ts';

export interface Keyring {
  /** All keys of a kind: the signing one first, then the verifying ones, the newest first, then the next. */
  of(kind: string): StoredKey[];
  all(): readonly StoredKey[];
  /** The signing key of a kind; every kind has one. */
  signing(kind: string): StoredKey;
  /** A 32-byte key for keyed hashes, one per purpose. For what can never be made anew: it does not rotate. */
  derive(purpose: string): Buffer;
  /** Reads the keys and tells the followers where they have changed. Rejects, and changes nothing, where it cannot. */
  refresh(): Promise<void>;
  /** Called whenever the keys have changed. */
  follow(follower: () => void): void;
  /**
   * For who meets a key that is not here: resolves after a look at the database that began after the call. A stranger can
   * make it be called: half a second lies between two looks, and no more than a hundred callers wait for one. Throws AppError
   * 503 for the others, and where the database cannot be asked.
   */
  look(): Promise<void>;
}

export interface KeyKind {
  generate(): Promise<Uint8Array> | Uint8Array;
  /** The first key of an installation, where it is not just a new one but follows from the keys that are there. */
  first?(signing: (kind: string) => Buffer): Uint8Array;
  /** Whether these bytes are such a key; may throw where they are not. */
  fits(bytes: Buffer): boolean;
}

/** In the order in which they are first made. */
export type KeyKinds = Record<string, KeyKind>;

const lookFloorMs = 500;
const mostWaiting = 100;

/**
 * Reads the keys, making those that are missing. Instances that start at once make them once, under a lock. Throws where
 * a key is not what its kind says: the server does not start.
 */
export async function openKeyring(
  database: Database,
  sealer: Sealer,
  keyKinds: KeyKinds,
  { log, now }: { log: Pick<Log, 'error'>; now: () => number },
): Promise<Keyring> {
  const kinds = Object.keys(keyKinds);
  const missingIn = (present: readonly StoredKey[]) => kinds.filter((kind) => !signingIn(present, kind));
  let keys = await readKeys(database.query, sealer);
  const missing = missingIn(keys);
  if (missing.length > 0) {
    // Made before the lock is taken: it is not held for as long as RSA takes.
    const generated = new Map(
      await Promise.all(missing.map(async (kind) => [kind, await keyKinds[kind]?.generate()] as const)),
    );
    keys = await whileLocked(database, async (query) => {
      for (const kind of missing) {
        const present = await readKeys(query, sealer, keys);
        if (signingIn(present, kind)) continue;
        const bytes = keyKinds[kind]?.first?.((of) => signingOf(present, of).bytes) ?? generated.get(kind);
        if (bytes) await insertKey(query, sealer, { kind, state: 'signing', bytes, now: now() });
      }
      return readKeys(query, sealer, keys);
    });
  }
  for (const { id, kind, bytes } of keys) {
    if (!fits(keyKinds, kind, bytes)) throw new Error(`key ${id} is no key of kind ${kind}`);
  }

  const followers: (() => void)[] = [];
  const told = new Set<string>();
  let [begun, finished] = [0, 0];
  let lookedAt = Number.NEGATIVE_INFINITY;
  let announced: Promise<void> | undefined;
  let waiting = 0;

  async function refresh(): Promise<void> {
    begun += 1;
    const turn = begun;
    lookedAt = performance.now();
    // A key that cannot be read keeps none of the others from being dropped.
    const readable = await readKeys(database.query, sealer, keys, (id, cause) => {
      if (!told.has(id))
        log.error({ cause, id }, 'a key cannot be unsealed: this instance goes on without it');
      told.add(id);
    });
    const found = readable.filter(({ kind, bytes }) => fits(keyKinds, kind, bytes));
    const [lacking] = missingIn(found);
    if (lacking !== undefined) throw new Error(`there is no signing key of kind ${lacking}`);
    // A look that was overtaken by a later one would bring a dropped key back.
    if (turn < finished) return;
    finished = turn;
    if (isDeepStrictEqual(found, keys)) return;
    keys = found;
    for (const follower of followers) follower();
  }

  return {
    of: (kind) => keys.filter((key) => key.kind === kind),
    all: () => keys,
    signing: (kind) => signingOf(keys, kind),
    derive: (purpose) => deriveKey(signingOf(keys, 'secret').bytes, purpose),
    refresh,
    follow: (follower) => void followers.push(follower),
    async look() {
      if (waiting >= mostWaiting) throw unavailable(new Error('too many tokens of unknown keys'));
      waiting += 1;
      announced ??= sleep(Math.max(0, lookedAt + lookFloorMs - performance.now())).then(() => {
        announced = undefined;
        return refresh();
      });
      // Where PostgreSQL is away nobody can say that the token is none of ours: to revoke it would then seem to be done.
      await announced.finally(() => {
        waiting -= 1;
      });
    },
  };
}

/** A kind that only a newer version knows is none of ours. */
function fits(keyKinds: KeyKinds, kind: string, bytes: Buffer): boolean {
  try {
    return keyKinds[kind]?.fits(bytes) ?? true;
  } catch {
    return false;
  }
}

const signingIn = (keys: readonly StoredKey[], kind: string): StoredKey | undefined =>
  keys.find((key) => key.kind === kind && key.state === 'signing');

function signingOf(keys: readonly StoredKey[], kind: string): StoredKey {
  const key = signingIn(keys, kind);
  if (!key) throw new Error(`there is no signing key of kind ${kind}`);
  return key;
}

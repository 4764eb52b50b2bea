/**
 * The server's own secrets: token keys, ID-token keys, OPAQUE's seeds and key pairs, and the keys of keyed hashes.
 * They are stored in PostgreSQL, sealed with the key-encryption key. They are read at the start and again every
 * second, because another instance or a command may have changed them. Followers are notified of every change. This
 * file does not know what a key is for: how a key of each kind is made is an argument.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { deriveKey, type Sealer } from '../lib/crypto.ts';
import { unavailable } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Database } from '../storage/database.ts';
import { insertKey, readKeys, type StoredKey, whileLocked } from './store.ts';

export interface Keyring {
  /** All keys of a kind: first the signing one, then the verifying ones from the newest on, then the next one. */
  of(kind: string): StoredKey[];
  all(): readonly StoredKey[];
  /** The signing key of a kind; every kind has one. */
  signing(kind: string): StoredKey;
  /** A 32-byte key for keyed hashes, one for each purpose. It never rotates: the hashes could not be made again. */
  derive(purpose: string): Buffer;
  /** Reads the keys and notifies the followers if they have changed. Rejects if that fails, and changes nothing. */
  refresh(): Promise<void>;
  /** `follower` is called whenever the keys have changed. */
  follow(follower: () => void): void;
  /**
   * Looks for a key that is unknown here. Resolves after a `refresh` that began after the call. Strangers can cause
   * calls, so there is at least half a second between two reads, and at most a hundred callers wait. Throws AppError
   * 503 for the others, and if the database cannot be asked.
   */
  look(): Promise<void>;
}

export interface KeyKind {
  generate(): Promise<Uint8Array> | Uint8Array;
  /** Makes the first key of an installation from other keys. Without it, the first key is a new one. */
  first?(signing: (kind: string) => Buffer): Uint8Array;
  /** Whether these bytes are a key of this kind. May also throw if they are not. */
  fits(bytes: Buffer): boolean;
}

/** The kinds by name, in the order in which their first keys are made. */
export type KeyKinds = Record<string, KeyKind>;

const lookFloorMs = 500;
const mostWaiting = 100;

/**
 * Reads the keys and makes the missing ones. Instances that start concurrently make them only once, under a lock.
 * Rejects with WrongKeyEncryptionKey, or with an Error if a key does not fit its kind.
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
    // Generated before the lock is taken, because an RSA key takes long.
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
    // A key that cannot be unsealed is skipped, so that this instance still notices when other keys are dropped.
    const readable = await readKeys(database.query, sealer, keys, (id, cause) => {
      if (!told.has(id))
        log.error({ cause, id }, 'a key cannot be unsealed: this instance goes on without it');
      told.add(id);
    });
    const found = readable.filter(({ kind, bytes }) => fits(keyKinds, kind, bytes));
    const [lacking] = missingIn(found);
    if (lacking !== undefined) throw new Error(`there is no signing key of kind ${lacking}`);
    // A later read may have finished first. The result of the earlier one would bring a dropped key back.
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
      // Rejects if PostgreSQL is down. To call the token unknown then would make its revocation seem done.
      await announced.finally(() => {
        waiting -= 1;
      });
    },
  };
}

/** Whether a key fits its kind. Kinds that only a newer version knows are accepted unchecked. */
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

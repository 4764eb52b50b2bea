/**
 * The server's own secrets: token keys, ID-token keys, OPAQUE's seed and key pair, and one secret from which keyed
 * hashes are derived. They are made on the first start, live in PostgreSQL sealed under the key-encryption key, and are
 * read once at start. What a key is for is not known here: app.ts hands in how each kind is generated.
 */
import { deriveKey, randomId, type Sealer } from '../lib/crypto.ts';
import type { Database } from '../storage/database.ts';

export interface StoredKey {
  id: string;
  kind: string;
  state: 'signing' | 'verifying';
  bytes: Buffer;
}

export interface Keyring {
  /** All keys of a kind, the signing one first. */
  of(kind: string): StoredKey[];
  /** The signing key of a kind; every kind has one. */
  signing(kind: string): StoredKey;
  /** A 32-byte key for keyed hashes, one per purpose. */
  derive(purpose: string): Buffer;
}

/** Of each kind: how a new key is made, and whether these bytes are one; `fits` may throw where they are not. */
export type KeyKinds = Record<
  string,
  { generate(): Promise<Uint8Array> | Uint8Array; fits(bytes: Buffer): boolean }
>;

interface KeyRow {
  id: string;
  kind: string;
  state: 'signing' | 'verifying';
  sealed: Buffer;
  kek_id: string;
}

/** The key that unseals the others is not the one they were sealed with. */
export class WrongKeyEncryptionKey extends Error {
  override readonly name = 'WrongKeyEncryptionKey';
  constructor() {
    super(
      "KEY_ENCRYPTION_KEY is not the one that this database's keys were sealed with: give that one, or the DATA_DIR that holds it",
    );
  }
}

/**
 * Reads the keys, making those that are missing. Instances that start at once make them once, under a lock. Throws where
 * a key is not what its kind says: the server does not start.
 */
export async function openKeyring(
  database: Database,
  sealer: Sealer,
  keyKinds: KeyKinds,
  now: () => number,
): Promise<Keyring> {
  const kinds = Object.keys(keyKinds);
  let keys = await read(database.query, sealer);
  if (kinds.some((kind) => !hasSigningKey(keys, kind))) {
    keys = await database.transaction(async (query) => {
      await query("select pg_advisory_xact_lock(hashtext('cypher keys'))");
      const present = await read(query, sealer);
      const missing = Object.entries(keyKinds).filter(([kind]) => !hasSigningKey(present, kind));
      const made = await Promise.all(
        missing.map(async ([kind, { generate }]) => ({ kind, bytes: await generate() })),
      );
      for (const { kind, bytes } of made) {
        const id = randomId();
        await query(
          'insert into keys (id, kind, state, sealed, kek_id, created_at) values ($1, $2, $3, $4, $5, $6)',
          [id, kind, 'signing', sealer.seal(bytes, identity(id, kind)), sealer.kekId, new Date(now())],
        );
      }
      return read(query, sealer);
    });
  }
  for (const { id, kind, bytes } of keys) {
    if (!fits(keyKinds, kind, bytes)) throw new Error(`key ${id} is no key of kind ${kind}`);
  }
  const of = (kind: string) => keys.filter((key) => key.kind === kind);
  const signing = (kind: string) => {
    const [first] = of(kind);
    if (first?.state !== 'signing') throw new Error(`there is no signing key of kind ${kind}`);
    return first;
  };
  return { of, signing, derive: (purpose) => deriveKey(signing('secret').bytes, purpose) };
}

/** A kind that only a newer version knows is none of ours. */
function fits(keyKinds: KeyKinds, kind: string, bytes: Buffer): boolean {
  try {
    return keyKinds[kind]?.fits(bytes) ?? true;
  } catch {
    return false;
  }
}

const hasSigningKey = (keys: StoredKey[], kind: string): boolean =>
  keys.some((key) => key.kind === kind && key.state === 'signing');

const identity = (id: string, kind: string): string => `keys ${id} ${kind}`;

async function read(query: Database['query'], sealer: Sealer): Promise<StoredKey[]> {
  const rows = await query<KeyRow>(
    'select id, kind, state, sealed, kek_id from keys order by state, created_at desc, id',
  );
  return rows.map(({ id, kind, state, sealed, kek_id }) => {
    if (kek_id !== sealer.kekId) throw new WrongKeyEncryptionKey();
    return { id, kind, state, bytes: sealer.unseal(sealed, identity(id, kind)) };
  });
}

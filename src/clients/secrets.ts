/**
 * Secrets of clients. They are made here with 256 random bits and stored as keyed hashes. A fast hash is sufficient,
 * because nobody can guess such a secret. If the client's method or algorithms need the secret itself, it is sealed
 * instead.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { SealedColumn } from '../keys/reseal.ts';
import { keyedHash, randomId, type Sealer, sha256 } from '../lib/crypto.ts';

export interface ClientSecret {
  /** Identifies the secret in lists. It is not secret itself. */
  readonly id: string;
  readonly digest: Buffer;
  /** The secret itself. Undefined if we have only its hash. */
  readonly text: string | undefined;
  /** Milliseconds since the epoch. Undefined for a secret of CLIENTS_FILE. */
  readonly createdAt: number | undefined;
  /** Milliseconds since the epoch. Undefined if it does not expire. */
  readonly expiresAt: number | undefined;
}

/** A secret as the database stores it. Either `hash` or `sealed` is set. */
export interface StoredSecret {
  id: string;
  hash: Buffer | null;
  sealed: Buffer | null;
  kekId: string | null;
}

export interface ClientSecrets {
  /** Makes a new random secret. */
  make(): string;
  /** What to store for this secret of the client. It is sealed if `neededItself`, otherwise hashed. */
  store(clientId: string, secret: string, neededItself: boolean): StoredSecret;
  /** Restores a stored secret. Throws if it cannot be unsealed with our keys. */
  restore(clientId: string, stored: StoredSecret, createdAt: Date, expiresAt: Date | null): ClientSecret;
  /** Reads a secret of CLIENTS_FILE: the secret itself, or `sha256:` and its SHA-256 in base64url. */
  fromFile(written: string): ClientSecret;
  /**
   * Whether `given` is one of the secrets and not expired. The time of a wrong one does not depend on the secrets. A right
   * one takes less from its second time on: its plain hash is known then, which saves 3 % of the CPU of an introspection.
   */
  matches(given: string, secrets: readonly ClientSecret[], nowMs: number): boolean;
}

const hashed = 'sha256:';

const identity = (clientId: string, id: string) => `client_secrets ${clientId} ${id}`;

/** The column that must be sealed again when the key-encryption key changes. */
export const sealedClientSecrets: SealedColumn = {
  table: 'client_secrets',
  column: 'sealed',
  kekColumn: 'kek_id',
  kindColumn: 'client_id',
  identityOf: (id, clientId) => identity(clientId, id),
};

/** `key`: 32 bytes for the keyed hashes. `sealer`: seals the secrets that clients need themselves. */
export function createClientSecrets(key: Uint8Array, sealer: Sealer): ClientSecrets {
  // The keyed hash is made over the plain hash. So CLIENTS_FILE may contain the plain hash instead of the secret.
  const digestOfHash = (hash: string) => keyedHash(key, hash);
  const digestOf = (secret: string) => digestOfHash(sha256(secret));
  /** The plain hashes of the secrets that have been given rightly. */
  const plainHashes = new WeakMap<ClientSecret, Buffer>();

  return {
    make: () => randomId(32),
    store(clientId, secret, neededItself) {
      const id = randomId(6);
      return neededItself
        ? {
            id,
            hash: null,
            sealed: sealer.seal(Buffer.from(secret), identity(clientId, id)),
            kekId: sealer.kekId,
          }
        : { id, hash: digestOf(secret), sealed: null, kekId: null };
    },
    restore(clientId, { id, hash, sealed, kekId }, createdAt, expiresAt) {
      const text = sealed
        ? sealer.unseal(sealed, identity(clientId, id), kekId ?? undefined).toString()
        : undefined;
      const digest = text === undefined ? hash : digestOf(text);
      if (!digest) throw new Error(`secret ${id} of client ${clientId} is empty`);
      return {
        id,
        digest,
        text,
        createdAt: createdAt.getTime(),
        expiresAt: expiresAt?.getTime(),
      };
    },
    fromFile(written) {
      const isHash = written.startsWith(hashed);
      const digest = isHash ? digestOfHash(written.slice(hashed.length)) : digestOf(written);
      const text = isHash ? undefined : written;
      return { id: 'file', digest, text, createdAt: undefined, expiresAt: undefined };
    },
    matches(given, secrets, nowMs) {
      const plain = hash('sha256', given, 'buffer');
      const isCurrent = ({ expiresAt }: ClientSecret) => expiresAt === undefined || nowMs < expiresAt;
      for (const secret of secrets) {
        const known = plainHashes.get(secret);
        if (known && timingSafeEqual(plain, known) && isCurrent(secret)) return true;
      }
      const digest = digestOfHash(plain.toString('base64url'));
      let found = false;
      for (const secret of secrets) {
        if (!timingSafeEqual(digest, secret.digest)) continue;
        plainHashes.set(secret, plain);
        found ||= isCurrent(secret);
      }
      return found;
    },
  };
}

/** Algorithms that need the secret itself: a MAC, or encryption with a key that is derived from the secret. */
const bySecret = /^(HS|A\d|dir$)/;

/** Whether the client's method or an algorithm in its metadata needs the secret itself. Pure. */
export const needsSecretItself = (metadata: Record<string, unknown>): boolean =>
  metadata.token_endpoint_auth_method === 'client_secret_jwt' ||
  Object.entries(metadata).some(
    ([name, value]) => /_alg$/.test(name) && typeof value === 'string' && bySecret.test(value),
  );

/** Whether the client authenticates with a secret, or needs one for an algorithm. Pure. */
export const needsSecret = (metadata: Record<string, unknown>): boolean =>
  String(metadata.token_endpoint_auth_method ?? 'client_secret_basic').startsWith('client_secret_') ||
  needsSecretItself(metadata);

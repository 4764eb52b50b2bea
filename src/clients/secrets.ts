/**
 * Secrets of clients: made here, 256 random bits each, and kept as keyed hashes; a fast hash is right for what nobody can
 * guess. A client whose method or algorithms compute with the secret itself has it sealed instead.
 */
import { timingSafeEqual } from 'node:crypto';
import type { SealedColumn } from '../keys/reseal.ts';
import { keyedHash, randomId, type Sealer, sha256 } from '../lib/crypto.ts';

export interface ClientSecret {
  /** Names it to people: for lists and for taking one away. */
  readonly id: string;
  readonly digest: Buffer;
  /** The secret itself, where it is needed. */
  readonly text: string | undefined;
  /** Milliseconds since the epoch; undefined for as long as it is not replaced. */
  readonly createdAt: number | undefined;
  readonly expiresAt: number | undefined;
}

/** How a secret lies in the database: one of `hash` and `sealed`. */
export interface StoredSecret {
  id: string;
  hash: Buffer | null;
  sealed: Buffer | null;
  kekId: string | null;
}

export interface ClientSecrets {
  /** A new secret. */
  make(): string;
  /** `secret` as it is stored for this client. */
  store(clientId: string, secret: string, neededItself: boolean): StoredSecret;
  /** A stored one, to compare with. Throws where it was sealed otherwise. */
  restore(clientId: string, stored: StoredSecret, createdAt: Date, expiresAt: Date | null): ClientSecret;
  /** One from CLIENTS_FILE: the secret, or `sha256:` and its SHA-256 in base64url. */
  fromFile(written: string): ClientSecret;
  /** Whether `given` is one of these and not expired. Takes the same time whatever it is and whichever these are. */
  matches(given: string, secrets: readonly ClientSecret[], nowMs: number): boolean;
}

const hashed = 'sha256:';

const identity = (clientId: string, id: string) => `client_secrets ${clientId} ${id}`;

/** What is sealed again under a new key-encryption key. */
export const sealedClientSecrets: SealedColumn = {
  table: 'client_secrets',
  column: 'sealed',
  kekColumn: 'kek_id',
  kindColumn: 'client_id',
  identityOf: (id, clientId) => identity(clientId, id),
};

export function createClientSecrets(key: Uint8Array, sealer: Sealer): ClientSecrets {
  // Over the plain hash, so that a file may hold that in place of the secret.
  const digestOfHash = (hash: string) => keyedHash(key, hash);
  const digestOf = (secret: string) => digestOfHash(sha256(secret));

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
      const digest = digestOf(given);
      let found = false;
      for (const { digest: known, expiresAt } of secrets) {
        const same = timingSafeEqual(digest, known);
        found ||= same && (expiresAt === undefined || nowMs < expiresAt);
      }
      return found;
    },
  };
}

/** Algorithms that compute with the secret: a MAC, or an encryption under a key that is derived from it. */
const bySecret = /^(HS|A\d|dir$)/;

/** Whether this client's metadata asks for anything that computes with the secret itself. Pure. */
export const needsSecretItself = (metadata: Record<string, unknown>): boolean =>
  metadata.token_endpoint_auth_method === 'client_secret_jwt' ||
  Object.entries(metadata).some(
    ([name, value]) => /_alg$/.test(name) && typeof value === 'string' && bySecret.test(value),
  );

/** Whether it authenticates by a secret, or needs one. Pure. */
export const needsSecret = (metadata: Record<string, unknown>): boolean =>
  String(metadata.token_endpoint_auth_method ?? 'client_secret_basic').startsWith('client_secret_') ||
  needsSecretItself(metadata);

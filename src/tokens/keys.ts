// The keys that tokens are made with: which kinds of token there are, and what the server must hold for each
// before it may start. Pure: where the bytes come from, and when one key follows another, is the caller's
// business. server_keys.ts builds a keyset from the stored keys whenever these have changed; tokens.ts uses it.

import { keyId, serializeKey } from './paserk.ts';
import { createV4LocalKey, type V4LocalKey } from './v4_local.ts';
import { createV4KeyPair, type V4PublicKey } from './v4_public.ts';

/** What a token is for. Each kind has its own keys, and only `public` can be checked outside this server. */
export type TokenKind = 'step' | 'session' | 'access' | 'refresh' | 'public';

/**
 * `next`: will make tokens soon, and opens those that another instance has begun to make. `signing`: makes new tokens
 * and opens its own. `verifying`: only opens what it made before it was followed.
 */
export type KeyState = 'next' | 'signing' | 'verifying';

/** A key as stored: 32 bytes, for `public` the Ed25519 seed (RFC 8032), from which its other half follows. */
export interface RawKey {
  kind: TokenKind;
  bytes: Uint8Array;
  state: KeyState;
  /** When it begins to make tokens, and when the last of them has expired; milliseconds since the epoch. */
  notBefore?: number | undefined;
  notAfter?: number | undefined;
}

interface NamedKey {
  /** PASERK id, `k4.lid.…` or `k4.pid.…`. */
  readonly kid: string;
  readonly state: KeyState;
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
}

export interface LocalTokenKey extends NamedKey {
  readonly kind: Exclude<TokenKind, 'public'>;
  readonly purpose: 'local';
  readonly key: V4LocalKey;
}

export interface PublicTokenKey extends NamedKey {
  readonly kind: 'public';
  readonly purpose: 'public';
  readonly secretKey: V4PublicKey;
  readonly publicKey: V4PublicKey;
  /** The public half for others to verify with, `k4.public.…`. */
  readonly paserk: string;
}

export type TokenKey = LocalTokenKey | PublicTokenKey;

/** Of every kind, the key that makes new tokens and all the keys, that one included, that open them. */
export type Keyset = Readonly<Record<TokenKind, KindKeys>>;

export interface KindKeys {
  readonly signing: TokenKey;
  readonly all: readonly TokenKey[];
}

/**
 * The keyset of these keys. Throws an Error that names the kind if a key is not 32 bytes or of no known kind
 * or state, if a kind has no signing key or several, or if it holds a key twice. The server refuses to start
 * then.
 */
export function createKeyset(raw: readonly RawKey[]): Keyset {
  const keysOf = (kind: TokenKind) =>
    createKindKeys(
      kind,
      raw.filter((key) => key.kind === kind),
    );
  const keyset = {
    step: keysOf('step'),
    session: keysOf('session'),
    access: keysOf('access'),
    refresh: keysOf('refresh'),
    public: keysOf('public'),
  };
  // The rows come from storage, where a newer version of the server may have put what this one knows nothing
  // of.
  for (const { kind, state } of raw) {
    if (!Object.hasOwn(keyset, kind)) throw new Error(`token kind ${kind}: there is no such kind`);
    if (!keyStates.includes(state)) throw new Error(`token kind ${kind}: unknown state ${state}`);
  }
  return keyset;
}

const keyStates: readonly KeyState[] = ['next', 'signing', 'verifying'];

function createKindKeys(kind: TokenKind, raw: readonly RawKey[]): KindKeys {
  const all = raw.map(createTokenKey);
  const signing = all.filter((key) => key.state === 'signing');
  const [only] = signing;
  if (only === undefined || signing.length > 1) {
    throw new Error(`token kind ${kind}: exactly one signing key is needed, ${signing.length} found`);
  }
  if (new Set(all.map((key) => key.kid)).size < all.length) {
    throw new Error(`token kind ${kind}: the same key is there twice`);
  }
  return { signing: only, all };
}

function createTokenKey({ kind, bytes, state, notBefore, notAfter }: RawKey): TokenKey {
  if (bytes.length !== 32) throw new Error(`token kind ${kind}: a key is 32 bytes, found ${bytes.length}`);
  const named = { state, notBefore, notAfter };
  if (kind !== 'public') {
    return { ...named, kind, purpose: 'local', kid: keyId('local', bytes), key: createV4LocalKey(bytes) };
  }
  const { secretKey, publicKey, publicBytes } = createV4KeyPair(bytes);
  return {
    ...named,
    kind,
    purpose: 'public',
    kid: keyId('public', publicBytes),
    secretKey,
    publicKey,
    paserk: serializeKey('public', publicBytes),
  };
}

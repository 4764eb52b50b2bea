/**
 * The keys that tokens are made with: which kinds of token there are, and which keys the server needs for each before
 * it may start. It does not own where the bytes come from, or when one key replaces another. Pure.
 */
import { keyId, serializeKey } from './paserk.ts';
import { createV4LocalKey, type V4LocalKey } from './v4_local.ts';
import { createV4KeyPair, type V4PublicKey } from './v4_public.ts';

/** What a token is for. Each kind has its own keys. Only `public` tokens can be verified outside this server. */
export type TokenKind = 'step' | 'session' | 'access' | 'refresh' | 'public';

/**
 * `next`: will make tokens soon, and opens those that another instance already makes with it. `signing`: makes new
 * tokens and opens its own. `verifying`: only opens the tokens that it made before it was replaced.
 */
export type KeyState = 'next' | 'signing' | 'verifying';

/** A stored key of 32 bytes. For `public` it is the Ed25519 seed (RFC 8032), from which both halves are derived. */
export interface RawKey {
  kind: TokenKind;
  bytes: Uint8Array;
  state: KeyState;
  /** When it begins to make tokens, and when the last of them has expired. Both in milliseconds since the epoch. */
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
  /** The public half as `k4.public.…`, for APIs that verify tokens. */
  readonly paserk: string;
}

export type TokenKey = LocalTokenKey | PublicTokenKey;

/** The keys of every kind. `signing` makes new tokens. `all` open them; `signing` is one of them. */
export type Keyset = Readonly<Record<TokenKind, KindKeys>>;

export interface KindKeys {
  readonly signing: TokenKey;
  readonly all: readonly TokenKey[];
}

/**
 * Builds the keyset. Throws an Error that names the kind if a key is not 32 bytes, if its kind or state is unknown,
 * if a kind has no signing key or several, or if it contains a key twice.
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
  // The rows come from storage. A newer version of the server may have written kinds or states that we do not know.
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

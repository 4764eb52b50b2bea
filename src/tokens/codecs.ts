/**
 * The text of PASETO tokens: v4.local or v4.public, with a footer that names the key. It does not interpret claims.
 */
import { PasetoError } from 'paseto';
import type { KindKeys, LocalTokenKey, PublicTokenKey, TokenKey, TokenKind } from './keys.ts';
import { createV4Local } from './v4_local.ts';
import { createV4Public } from './v4_public.ts';

/**
 * Switches off the checks of exp, iat and nbf in the `paseto` package. It has one tolerance for all three, accepts a
 * token at the very instant of its exp, and cannot skip exp alone. We check exp and iat when a token is opened, and
 * do not use nbf.
 */
const NO_TEMPORAL_CHECKS = Number.MAX_SAFE_INTEGER;

export type Body = Record<string, unknown>;

/** Makes and opens the tokens of one key. `open` returns undefined for a text that this key has not made. */
export interface Codec {
  seal(body: object): string | Promise<string>;
  open(token: string): Body | undefined | Promise<Body | undefined>;
}

/** How tokens of one kind are made and opened. Everything except the nonce and the claims is computed once. */
export interface KindCodecs {
  prefix: string;
  signing: Codec;
  /** The footer of a token, in base64url, leads to the codec of its key. */
  byFooter: ReadonlyMap<string, Codec>;
  /** The length of every footer of this kind. Footers differ only in the key's id. */
  footerLength: number;
}

/** The codecs of one kind of token. Issuer and kind are bound to each token as its implicit assertion. */
export function codecsOf(issuer: string, kind: TokenKind, { signing, all }: KindKeys): KindCodecs {
  // JSON keeps the two apart. If they were joined, different pairs of issuer and kind could give the same text.
  const implicit = Buffer.from(JSON.stringify([issuer, kind]));
  const footer = footerOf(signing).toString('base64url');
  const codecs = all.map((key) => [footerOf(key).toString('base64url'), codecOf(key, implicit)] as const);
  return {
    prefix: `v4.${signing.purpose}.`,
    signing: codecOf(signing, implicit),
    byFooter: new Map(codecs),
    footerLength: footer.length,
  };
}

function footerOf({ kid }: TokenKey): Buffer {
  return Buffer.from(JSON.stringify({ kid }));
}

function codecOf(key: TokenKey, implicit: Uint8Array): Codec {
  const footer = footerOf(key);
  return key.purpose === 'local' ? localCodec(key, footer, implicit) : publicCodec(key, footer, implicit);
}

function localCodec({ kind, key }: LocalTokenKey, footer: Uint8Array, implicit: Uint8Array): Codec {
  const { seal, sealRepeatable, open } = createV4Local(key, footer, implicit);
  // A repeated refresh must receive the same text as the first.
  const make = kind === 'refresh' ? sealRepeatable : seal;
  return {
    seal: (body) => make(Buffer.from(JSON.stringify(body))),
    open(token) {
      const message = open(token);
      return message && (JSON.parse(message.toString()) as Body);
    },
  };
}

const v4Public = createV4Public();

function publicCodec(key: PublicTokenKey, footer: Uint8Array, implicitAssertion: Uint8Array): Codec {
  return {
    seal: (body) => v4Public.Sign(key.secretKey, body, { footer, implicitAssertion }),
    async open(token) {
      try {
        const options = { implicitAssertion, clockTolerance: NO_TEMPORAL_CHECKS };
        return (await v4Public.Verify(key.publicKey, token, options)).claims as Body;
      } catch (error) {
        // A fault of the token has this class. Any other error is our fault, and must not be reported as a bad token.
        if (error instanceof PasetoError) return undefined;
        throw error;
      }
    },
  };
}

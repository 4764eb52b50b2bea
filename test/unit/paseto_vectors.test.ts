// The official PASETO v4 and PASERK k4 vectors, through the code that the server runs.

import { readFileSync } from 'node:fs';
import { InvalidTokenError } from 'paseto';
import { expect, test } from 'vitest';
import { deserializeKey, type KeyType, keyId, serializeKey } from '../../src/tokens/paserk.ts';
import { createV4Local, createV4LocalKey } from '../../src/tokens/v4_local.ts';
import { createV4KeyPair, createV4Public, createV4PublicKey } from '../../src/tokens/v4_public.ts';

interface TokenVector {
  name: string;
  fails: boolean;
  purpose: 'local' | 'public';
  key: string;
  nonce: string;
  seed: string;
  public_key: string;
  token: string;
  payload: string | null;
  footer: string;
  implicit_assertion: string;
}

interface PaserkVector {
  name: string;
  type: 'lid' | 'pid' | 'sid' | KeyType;
  fails: boolean;
  key: string | null;
  paserk: string | null;
}

const TOKEN_FIELDS = ['name', 'fails', 'purpose', 'token', 'payload', 'footer', 'implicit_assertion'];
const LOCAL_FIELDS = [...TOKEN_FIELDS, 'key', 'nonce'];
const PUBLIC_FIELDS = [...TOKEN_FIELDS, 'seed', 'public_key'];
const PASERK_FIELDS = ['name', 'type', 'fails', 'key', 'paserk'];
const KEY_TYPE_OF_ID = { lid: 'local', pid: 'public', sid: 'secret' } as const;

const tokenVectors = load<TokenVector>('paseto_v4.json', (vector) =>
  vector.purpose === 'local' ? LOCAL_FIELDS : PUBLIC_FIELDS,
);
const paserkVectors = load<PaserkVector>('paserk_k4.json', (vector) =>
  vector.fails ? [...PASERK_FIELDS, 'reason'] : PASERK_FIELDS,
);

/** The vectors of a file. A field that is missing, or that the runner would pass over, is an error. */
function load<Vector extends object>(file: string, fieldsOf: (vector: Vector) => string[]): Vector[] {
  const data = JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8'));
  expect(Object.keys(data), file).toEqual(['source', 'vectors']);
  for (const vector of data.vectors) {
    expect(Object.keys(vector).sort(), `${file} ${vector.name}`).toEqual(fieldsOf(vector).sort());
  }
  return data.vectors;
}

const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const before = new Date('2021-12-31T23:59:59Z');

test('there are vectors of every sort', () => {
  const sorts = [
    ...tokenVectors.map((vector) => `${vector.purpose} ${vector.fails}`),
    ...paserkVectors.map((vector) => `${vector.type} ${vector.fails}`),
  ];
  const types = ['local', 'public', 'lid', 'pid', 'sid', 'secret'];
  for (const type of types) expect(sorts).toEqual(expect.arrayContaining([`${type} false`, `${type} true`]));
  expect([tokenVectors.length, paserkVectors.length]).toEqual([17, 27]);
});

test.each(tokenVectors)('PASETO $name', async (vector) => {
  const { seal, open } = vector.purpose === 'local' ? localCodec(vector) : publicCodec(vector);
  if (vector.fails) {
    expect(await open(vector.token)).toBeUndefined();
    return;
  }
  const claims = JSON.parse(vector.payload ?? '');
  expect(await seal(claims)).toBe(vector.token);
  expect(await open(vector.token)).toEqual(claims);
});

function localCodec(vector: TokenVector) {
  const { seal, open } = createV4Local(
    createV4LocalKey(hex(vector.key)),
    Buffer.from(vector.footer),
    Buffer.from(vector.implicit_assertion),
    () => hex(vector.nonce),
  );
  return {
    seal: async (claims: object) => seal(Buffer.from(JSON.stringify(claims))),
    async open(token: string) {
      const message = open(token);
      return message && JSON.parse(message.toString());
    },
  };
}

function publicCodec(vector: TokenVector) {
  const protocol = createV4Public();
  const { secretKey } = createV4KeyPair(hex(vector.seed));
  const publicKey = createV4PublicKey(hex(vector.public_key));
  const options = {
    footer: Buffer.from(vector.footer),
    implicitAssertion: Buffer.from(vector.implicit_assertion),
  };
  return {
    seal: (claims: object) => protocol.Sign(secretKey, claims, { ...options, addIssuedAt: false }),
    open: (token: string) =>
      protocol.Verify(publicKey, token, { ...options, now: before }).then(
        ({ claims }) => claims,
        (error) => {
          if (!(error instanceof InvalidTokenError)) throw error;
        },
      ),
  };
}

test.each(paserkVectors)('PASERK $name', ({ type, fails, key, paserk }) => {
  if (type === 'lid' || type === 'pid' || type === 'sid') {
    const id = () => keyId(KEY_TYPE_OF_ID[type], hex(key ?? ''));
    if (fails) expect(id).toThrow();
    else expect(id()).toBe(paserk);
    return;
  }
  if (!fails) {
    expect(serializeKey(type, hex(key ?? ''))).toBe(paserk);
    expect(deserializeKey(type, paserk ?? '')).toEqual(hex(key ?? ''));
  } else if (key === null) {
    expect(() => deserializeKey(type, paserk ?? '')).toThrow();
  } else {
    expect(() => serializeKey(type, hex(key))).toThrow();
  }
});

// Who may open a token, and when: by kind, issuer, key and time.

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { keyId } from '../../src/tokens/paserk.ts';
import {
  anyKindOpens,
  bytesOf,
  CLAIMS,
  EXPIRES,
  ISSUER,
  KINDS,
  NOW,
  rawKeys,
  sealEach,
  tokensWith,
} from './tokens_support.ts';
import { oracleKey, v4LocalOracle } from './v4_local_oracle.ts';

const tokens = tokensWith();
const sealed = await sealEach();

describe.each(KINDS)('a %s token', (kind) => {
  test('comes back with the claims it was sealed with, and who, what and when', async () => {
    const claims = { ...CLAIMS, iss: 'x', type: 'x', iat: 'x', exp: 'x' };
    const token = await tokens.seal(kind, claims, { expiresAt: EXPIRES, issuedAt: NOW - 5 });
    const added = { iss: ISSUER, type: kind, iat: NOW - 5, exp: EXPIRES };
    expect(await tokens.open(kind, token)).toEqual({ ...CLAIMS, ...added });
  });

  test('has the version, purpose and footer of its kind', () => {
    const [version, purpose, , footer] = sealed[kind].split('.');
    expect([version, purpose]).toEqual(['v4', kind === 'public' ? 'public' : 'local']);
    const id = kind === 'public' ? /^\{"kid":"k4\.pid\.[\w-]{44}"\}$/ : /^\{"kid":"k4\.lid\.[\w-]{44}"\}$/;
    expect(Buffer.from(footer ?? '', 'base64url').toString()).toMatch(id);
  });

  test('opens as no other kind, even where all kinds have one key', async () => {
    const shared = tokensWith({ keys: rawKeys(() => 7) });
    const sharedToken = await shared.seal(kind, CLAIMS, { expiresAt: EXPIRES });
    expect(await shared.open(kind, sharedToken)).toBeDefined();
    for (const other of KINDS.filter((name) => name !== kind)) {
      expect(await tokens.open(other, sealed[kind]), other).toBeUndefined();
      expect(await shared.open(other, sharedToken), other).toBeUndefined();
    }
  });

  test('is refused by another issuer with the same keys', async () => {
    expect(await tokensWith({ issuer: `${ISSUER}/` }).open(kind, sealed[kind])).toBeUndefined();
  });

  test('is refused with any one bit flipped', async () => {
    const parts = sealed[kind].split('.');
    for (const part of [2, 3]) {
      const bytes = Buffer.from(parts[part] ?? '', 'base64url');
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const token = parts.with(part, flipped.toString('base64url')).join('.');
        expect(await tokens.open(kind, token), `part ${part} bit ${bit}`).toBeUndefined();
      }
    }
  });

  test('is refused with any one character changed', async () => {
    const token = sealed[kind];
    for (let at = 0; at < token.length; at += 1) {
      for (const character of ['A', 'B', '.', '=', '\u0000', 'é', '']) {
        if (token[at] === character) continue;
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        expect(await tokens.open(kind, changed), `position ${at} "${character}"`).toBeUndefined();
      }
    }
  });

  test('lives until the very second of its exp, and no longer', async () => {
    const openedAt = (seconds: number) => tokensWith({ seconds }).open(kind, sealed[kind]);
    expect(await openedAt(EXPIRES - 0.001)).toBeDefined();
    expect(await openedAt(EXPIRES)).toBeUndefined();
    expect(await openedAt(EXPIRES + 1)).toBeUndefined();
  });

  test('can be read after its exp on request, all else still checked', async () => {
    const late = tokensWith({ seconds: EXPIRES + 1e9 });
    expect(await late.open(kind, sealed[kind], { ignoreExpiration: true })).toMatchObject({ exp: EXPIRES });
    expect(await late.open(kind, `${sealed[kind]}A`, { ignoreExpiration: true })).toBeUndefined();
  });

  test('is refused when issued more than a minute from now', async () => {
    const at = (issuedAt: number) => tokens.seal(kind, CLAIMS, { expiresAt: EXPIRES, issuedAt });
    expect(await tokens.open(kind, await at(NOW + 60))).toBeDefined();
    const future = await at(NOW + 61);
    expect(await tokens.open(kind, future)).toBeUndefined();
    expect(await tokens.open(kind, future, { ignoreExpiration: true })).toBeUndefined();
  });

  test('is refused with another version, purpose or trailing data', async () => {
    const [, purpose, payload, footer] = sealed[kind].split('.');
    const other = purpose === 'local' ? 'public' : 'local';
    const rest = `${payload}.${footer}`;
    for (const header of [
      `v3.${purpose}`,
      `v2.${purpose}`,
      `v4.${other}`,
      `V4.${purpose}`,
      `v4.${purpose}.`,
    ]) {
      expect(await anyKindOpens(`${header}.${rest}`), header).toBe(false);
    }
    for (const tail of ['.', '.e30', 'AAAA', '\n', ' ']) {
      expect(await anyKindOpens(sealed[kind] + tail), `tail ${inspect(tail)}`).toBe(false);
    }
    expect(await anyKindOpens(` ${sealed[kind]}`)).toBe(false);
  });
});

describe('a token made with the right key', () => {
  const key = oracleKey(bytesOf(3));
  const right = {
    footer: Buffer.from(JSON.stringify({ kid: keyId('local', bytesOf(3)) })),
    implicitAssertion: Buffer.from(JSON.stringify([ISSUER, 'access'])),
    now: new Date(NOW * 1000),
  };
  const claims = { iss: ISSUER, type: 'access' };
  const made = (body: object, options: object) => v4LocalOracle.Encrypt(key, body, { ...right, ...options });

  test('opens if everything is as the server makes it', async () => {
    expect(await tokens.open('access', await made(claims, {}))).toMatchObject({
      ...claims,
      iat: NOW,
      exp: NOW + 3600,
    });
  });

  const wrong: [string, object, object][] = [
    ['issuer', { ...claims, iss: 'https://evil.example' }, {}],
    ['issuer missing', { type: 'access' }, {}],
    ['type', { ...claims, type: 'refresh' }, {}],
    ['type missing', { iss: ISSUER }, {}],
    ['no exp', claims, { nonExpiring: true }],
    ['no iat', claims, { addIssuedAt: false }],
    ['implicit assertion missing', claims, { implicitAssertion: new Uint8Array() }],
    [
      'implicit assertion of another kind',
      claims,
      { implicitAssertion: Buffer.from(`["${ISSUER}","refresh"]`) },
    ],
    ['implicit assertion of another issuer', claims, { implicitAssertion: Buffer.from('["x","access"]') }],
    ['no footer', claims, { footer: new Uint8Array() }],
  ];
  test.each(wrong)('is refused with the wrong %s', async (_name, body, options) => {
    const token = await made(body, options);
    expect(await tokens.open('access', token)).toBeUndefined();
    expect(await tokens.open('access', token, { ignoreExpiration: true })).toBeUndefined();
  });
});

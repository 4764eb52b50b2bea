/** Signatures of cookies: made with the first key, taken from any, and from nobody else. */

import { expect, test } from 'vitest';
import { createCookieSignatures } from '../../src/lib/cookie_signatures.ts';
import { altered } from '../support/altered.ts';

const data = 'cypher_interaction=abc';

const signaturesOf = (...keys: string[]) => createCookieSignatures(keys.map((key) => Buffer.from(key)));

test('what is signed with a key that is still known is taken, and says with which', () => {
  const signatures = signaturesOf('now', 'before');
  const own = signatures.sign(data);
  expect([signatures.index(data, own), signatures.verify(data, own)]).toEqual([0, true]);
  const older = signaturesOf('before').sign(data);
  expect([signatures.index(data, older), signatures.verify(data, older)]).toEqual([1, true]);
});

test('nothing else is taken', () => {
  const signatures = signaturesOf('now', 'before');
  const own = signatures.sign(data);
  const wrong = [
    signaturesOf('foreign').sign(data),
    signatures.sign('cypher_resume=abc'),
    own.slice(0, -1),
    `${own}=`,
    altered(own, 0),
    'é'.repeat(own.length),
    '',
  ];
  expect(wrong.map((signature) => signatures.index(data, signature))).toEqual(wrong.map(() => -1));
  expect(wrong.some((signature) => signatures.verify(data, signature))).toBe(false);
  expect(() => signaturesOf()).toThrow('cookies need a key');
});

/** Signatures of cookies: made with the first key, taken from any, and from nobody else. */
import { createHmac, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createCookieSignatures } from '../../src/lib/cookie_signatures.ts';

const [now, before, foreign] = [randomBytes(32), randomBytes(32), randomBytes(32)];
const data = 'cypher_interaction=abc';

test('what is signed with a key that is still known is taken, and says with which', () => {
  const signatures = createCookieSignatures([now, before]);
  const own = signatures.sign(data);
  expect(own).toBe(createHmac('sha256', now).update(data).digest('base64url'));
  expect([signatures.index(data, own), signatures.verify(data, own)]).toEqual([0, true]);
  const older = createCookieSignatures([before]).sign(data);
  expect([signatures.index(data, older), signatures.verify(data, older)]).toEqual([1, true]);
});

test('nothing else is taken', () => {
  const signatures = createCookieSignatures([now, before]);
  const own = signatures.sign(data);
  const wrong = [
    createCookieSignatures([foreign]).sign(data),
    signatures.sign('cypher_resume=abc'),
    own.slice(0, -1),
    `${own}=`,
    own.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A')),
    'é'.repeat(own.length),
    '',
  ];
  expect(wrong.map((signature) => signatures.index(data, signature))).toEqual(wrong.map(() => -1));
  expect(wrong.some((signature) => signatures.verify(data, signature))).toBe(false);
  expect(() => createCookieSignatures([])).toThrow('cookies need a key');
});

/** Whose secret it is, and until when. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { createClientSecrets } from '../../src/clients/secrets.ts';
import { createSealer } from '../../src/lib/crypto.ts';

const secrets = createClientSecrets(Buffer.alloc(32, 1), createSealer(Buffer.alloc(32, 2)));
const restored = (secret: string, expiresAt: number | null) =>
  secrets.restore(
    'web',
    secrets.store('web', secret, false),
    new Date(0),
    expiresAt === null ? null : new Date(expiresAt),
  );

test('one of the right ones, however often; no other, and none at all of an unknown client', () => {
  const hash = createHash('sha256').update('third').digest('base64url');
  const known = [restored('first', null), secrets.fromFile('second'), secrets.fromFile(`sha256:${hash}`)];
  for (const _ of [1, 2, 3]) {
    for (const right of ['first', 'second', 'third']) expect(secrets.matches(right, known, 0)).toBe(true);
    for (const wrong of ['', 'First', 'first ', hash, `sha256:${hash}`])
      expect(secrets.matches(wrong, known, 0)).toBe(false);
    expect(secrets.matches('first', known.slice(1), 0)).toBe(false);
    expect(secrets.matches('first', [], 0)).toBe(false);
  }
});

test('one that was good a moment ago is not once it has expired, or has been taken away', () => {
  const known = [restored('old', 1000), restored('new', null)];
  expect(secrets.matches('old', known, 999)).toBe(true);
  expect(secrets.matches('old', known, 999)).toBe(true);
  expect(secrets.matches('old', known, 1000)).toBe(false);
  expect(secrets.matches('new', known, 1000)).toBe(true);
  expect(secrets.matches('old', known.slice(1), 999)).toBe(false);
  expect(secrets.matches('late', [restored('late', 1000)], 1001)).toBe(false);
});

/** Row "Keys, leaks, logs", rotate: both keys published, old tokens verify to their end; once for all instances. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import {
  forFiles,
  headerOf,
  isActive,
  jwks,
  kidOf,
  pasetoKeys,
  refresh,
  soon,
  startPair,
} from '../support/key_pair.ts';
import { createPerson } from '../support/person.ts';
import type { TestServer } from '../support/server.ts';

const { web } = apps;

let pair: Awaited<ReturnType<typeof startPair>>;
let one: TestServer;
let two: TestServer;
beforeAll(async () => {
  pair = await startPair();
  ({ one, two } = pair);
});
afterAll(() => pair.close());

// The library has the machine's clock: what is made after these have turned ours is not taken.
test('Rotate: both keys published, old tokens verify to their end', async () => {
  const ada = createPerson(one, 'ada');
  const before = await ada.tokensFor(web, forFiles);
  const plain = await ada.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  const [{ kid: oldPaseto } = { kid: '' }] = await pasetoKeys(one);
  const oldJwk = headerOf(before.id_token).kid;

  await pair.key('rotate');
  for (const server of [one, two]) {
    await soon(async () => {
      expect(await pasetoKeys(server)).toMatchObject([
        { kid: oldPaseto, state: 'signing' },
        { state: 'next', not_before: expect.stringMatching(/^20.*Z$/) },
      ]);
      expect((await jwks(server)).filter(({ alg }) => alg === 'RS256')).toHaveLength(2);
    });
  }
  // Published, and not in use before everybody can know it.
  expect(kidOf((await ada.tokensFor(web, forFiles)).access_token)).toBe(oldPaseto);

  one.clock.advance(61);
  for (const server of [one, two]) {
    await soon(async () => {
      expect((await pasetoKeys(server)).map(({ state }) => state)).toEqual(['signing', 'verifying']);
    });
    for (const { access_token } of [before, plain]) expect(await isActive(server, access_token)).toBe(true);
  }
  const after = await ada.tokensFor(web, forFiles);
  expect(kidOf(after.access_token)).not.toBe(oldPaseto);
  expect(headerOf(after.id_token).kid).not.toBe(oldJwk);
  expect((await refresh(two, plain.refresh_token)).status).toBe(200);

  one.clock.advance(1000);
  await soon(async () => {
    expect((await pasetoKeys(two)).map(({ kid }) => kid)).toEqual([kidOf(after.access_token)]);
  });
  // A sign-out's hint is good as long as a session.
  expect((await jwks(two)).map(({ kid }) => kid)).toContain(oldJwk);
  const kept = await createPerson(two, 'ada').authorize(web, {
    prompt: 'none',
    id_token_hint: before.id_token,
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  });
  expect(kept.searchParams.get('error')).toBe('login_required');
});

test('Rotate: by schedule, once for all instances', async () => {
  one.clock.advance(90 * 86_400);
  await soon(async () => expect((await pasetoKeys(two)).map(({ state }) => state)).toContain('next'));
  one.clock.advance(61);
  await soon(async () => {
    for (const server of [one, two])
      expect((await pasetoKeys(server)).map(({ state }) => state)).toEqual(['signing', 'verifying']);
  });
  const rows = await one.database.query<{ kind: string; signing: number; next: number }>(
    `select kind, count(*) filter (where state = 'signing')::int as signing, count(*) filter (where next)::int as next
     from keys group by kind`,
  );
  for (const { kind, signing, next } of rows) expect([kind, signing, next]).toEqual([kind, 1, 0]);
});

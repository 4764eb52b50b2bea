/** One session, many tabs at once: no app's sign-on is lost, and the sign-out reaches every token. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import {
  type App,
  asApp,
  challengeOf,
  createPerson,
  isAlive,
  type Person,
  verifier,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { signOut } from '../support/visits.ts';

/** Apps of the house without refresh tokens: nothing but the session's own list names what they were given. */
const house = ['one', 'two', 'three', 'four'].map((name) => ({
  client_id: name,
  client_secret: `a-secret-of-${name}-0123456789abcdef0123456789`,
  redirect_uri: `https://${name}.example/callback`,
  redirect_uris: [`https://${name}.example/callback`],
  first_party: true,
  grant_types: ['authorization_code'],
}));

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), ...house] });
});
afterAll(() => server.close());

const { intranet } = apps;

async function signOn(person: Person, app: App): Promise<string> {
  const codeVerifier = verifier();
  const back = await person.authorize(app, {
    code_challenge: challengeOf(codeVerifier),
    code_challenge_method: 'S256',
  });
  const answer = await asApp(server, app, {
    grant_type: 'authorization_code',
    code: back.searchParams.get('code') ?? '',
    redirect_uri: app.redirect_uri,
    code_verifier: codeVerifier,
  });
  expect(answer.status, answer.text).toBe(200);
  return answer.body.access_token;
}

const isActive = async (token: string): Promise<boolean> => isAlive(server, token);

test('apps that sign on side by side all receive their tokens, and the sign-out ends every one of them', async () => {
  const person = createPerson(server, 'many-tabs');
  await person.codeFor(intranet);
  for (let round = 0; round < 5; round++) {
    const tokens = await Promise.all(house.map((app) => signOn(person, app)));
    expect(await Promise.all(tokens.map(isActive))).toEqual(tokens.map(() => true));
    if (round < 4) continue;
    await signOut(person);
    expect(await Promise.all(tokens.map(isActive))).toEqual(tokens.map(() => false));
  }
});

test('one app in several tabs at once: each tab gets its tokens, and the sign-out ends them all', async () => {
  const person = createPerson(server, 'same-app');
  await person.codeFor(intranet);
  const [one] = house;
  if (!one) throw new Error('no app');
  const tokens = await Promise.all([signOn(person, one), signOn(person, one), signOn(person, one)]);
  expect(await Promise.all(tokens.map(isActive))).toEqual([true, true, true]);
  await signOut(person);
  expect(await Promise.all(tokens.map(isActive))).toEqual([false, false, false]);
});

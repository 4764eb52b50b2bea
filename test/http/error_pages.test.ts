/** What a person who meets an error can do next: a way on that is ours, or the app's where the operator wrote it down. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web } = apps;
const notes = {
  ...web,
  client_id: 'notes',
  client_name: 'Notes',
  initiate_login_uri: 'https://notes.example/login',
  client_uri: 'https://notes.example/',
};
const wiki = { ...web, client_id: 'wiki', client_name: 'Wiki', client_uri: 'https://wiki.example/' };
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [web, notes, wiki], settings: { REGISTRATION: 'open' } });
});
afterAll(() => server.close());

const linksAt = async (path: string, query: object = {}) => {
  const { agent } = createPerson(server, 'x');
  const { text } = await agent.get(path).query(query).accept('html');
  expect(text).toContain('say this reference');
  return [...text.matchAll(/<a [^>]*href="([^"]*)"/g)].map(([, href]) => href);
};
const ours = ['/account', '/'];
/** An answer is asked for at an address that is not the app's. */
const wrongly = (client_id: string) =>
  linksAt('/auth', { client_id, response_type: 'code', redirect_uri: 'https://evil.example/callback' });

test.each(['/nowhere', '/interaction/an-old-one', '/auth/an-old-one', '/auth?client_id=nobody'])(
  'from the error at %s it goes on to the account page and home',
  async (path) => expect(await linksAt(path)).toEqual(ours),
);

test('where the app is known it goes on to its own address, never to one of the request', async () => {
  expect(await wrongly('notes')).toEqual(['https://notes.example/login', ...ours]);
  expect(await wrongly('wiki')).toEqual(['https://wiki.example/', ...ours]);
  expect(await wrongly('web')).toEqual(ours);
});

test('an app that registered itself has nobody sent to it', async () => {
  const answer = await fetch(`${server.url}/reg`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      redirect_uris: ['https://stranger.example/callback'],
      client_uri: 'https://stranger.example/',
      initiate_login_uri: 'https://stranger.example/login',
    }),
  });
  const { client_id } = (await answer.json()) as { client_id: string };
  expect(await wrongly(client_id)).toEqual(ours);
});

test('a page that fails on our side is offered again', async () => {
  await server.database.query('alter table clients rename to clients_away');
  expect(await linksAt('/')).toEqual(['', ...ours]);
});

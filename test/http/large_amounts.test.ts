/** Ten thousand apps that registered themselves, and a person with a hundred thousand of everything. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const linked = { ...apps.intranet, initiate_login_uri: 'https://intranet.example/sign-in' };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  const settings = { REGISTRATION: 'open', CIBA: 'on' };
  server = await startServer({ clients: [...Object.values({ ...apps, intranet: linked })], settings });
  ada = createPerson(server, 'ada');
  await ada.codeFor(apps.intranet);
});
afterAll(() => server.close());

/** Rows of a table that queries have read, once PostgreSQL has counted all that has happened. */
async function rowsRead(table: string): Promise<number> {
  const look = async () => {
    const [row] = await server.database.query<{ rows: string }>(
      'select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows from pg_stat_user_tables where relname = $1',
      [table],
    );
    return Number(row?.rows);
  };
  // Each connection tells of its work within some seconds.
  let before = await look();
  for (let same = 0; same < 4; ) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const now = await look();
    same = now === before ? same + 1 : 0;
    before = now;
  }
  return before;
}

test('Unbounded work: with ten thousand self-registered apps no page and no endpoint reads them all', async () => {
  await server.database.query(
    `insert into clients (id, source, metadata, created_at, changed_at)
     select 'stranger-' || n, 'registration', jsonb_build_object('client_id', 'stranger-' || n, 'client_name', 'Stranger ' || n,
       'initiate_login_uri', 'https://stranger.example/' || n, 'redirect_uris', jsonb_build_array('https://stranger.example/cb'),
       'grant_types', jsonb_build_array('authorization_code'), 'token_endpoint_auth_method', 'none', 'require_pkce', true),
       now(), now() from generate_series(1, 9990) n`,
  );
  await server.database.query('analyze clients');
  const before = await rowsRead('clients');
  for (let n = 1; n <= 5; n++) {
    const home = await request(server.url).get('/').expect(200);
    expect(home.text).toContain('https://intranet.example/sign-in');
    expect(home.text).not.toContain('stranger.example');
    await ada.agent.get('/account').expect(200);
    await ada.agent
      .get('/auth')
      .query({
        client_id: `stranger-${n}`,
        redirect_uri: 'https://stranger.example/cb',
        response_type: 'code',
        scope: 'openid',
        code_challenge: 'a'.repeat(43),
        code_challenge_method: 'S256',
      })
      .expect(303);
    await request(server.url)
      .post('/token')
      .type('form')
      .send({ client_id: `nobody-${n}`, grant_type: 'x' });
  }
  const made = await request(server.url)
    .post('/reg')
    .send({
      client_name: 'Another one',
      redirect_uris: ['https://a.example/'],
      token_endpoint_auth_method: 'none',
    })
    .expect(201);
  await request(server.url)
    .delete(`/reg/${made.body.client_id}`)
    .auth(made.body.registration_access_token, { type: 'bearer' })
    .expect(204);
  // One registration looks how many there are, by an index.
  expect((await rowsRead('clients')) - before).toBeLessThan(12_000);
});

test('Unbounded work: a hundred thousand sessions, grants and requests of one person are shown page by page', async () => {
  const [account] = await server.database.query<{ id: string }>('select id from accounts');
  const id = account?.id;
  await server.database.query(
    `insert into sessions (id_hash, uid, account_id, payload, user_agent, created_at, last_seen_at, expires_at)
     select 'hash-' || n, 'uid-' || n, $1, '{}', 'Agent', now() + n * interval '1 millisecond', now(), now() + interval '1 day'
     from generate_series(1, 100000) n`,
    [id],
  );
  await server.database.query(
    `insert into records (model, id_hash, payload, account_id, expires_at)
     select model, model || n, jsonb_build_object('clientId', case when n % 2 = 0 then 'web' else 'intranet' end,
       'accountId', $1::text, 'iat', extract(epoch from now())::bigint, 'exp', extract(epoch from now())::bigint + 900,
       'openid', jsonb_build_object('scope', 'openid'), 'scope', 'openid'), $1, now() + interval '1 hour'
     from generate_series(1, 100000) n, unnest(array['Grant', 'BackchannelAuthenticationRequest']) as model`,
    [id],
  );
  await server.database.query('analyze sessions');
  await server.database.query('analyze records');
  const uids = (text: string) => [...text.matchAll(/name="session" value="([^"]+)"/g)].map(([, uid]) => uid);
  const page = async (path: string) => (await ada.agent.get(path).accept('html').expect(200)).text;

  const first = await page('/account');
  expect(uids(first)).toHaveLength(51);
  expect(first.indexOf('This one')).toBeLessThan(first.indexOf('value="uid-100000"'));
  expect(uids(first).slice(1, 3)).toEqual(['uid-100000', 'uid-99999']);
  expect(first).not.toContain('Newer sessions');
  const second = await page(/href="(\/account\?page=2)#sessions"/.exec(first)?.[1] ?? '');
  expect(uids(second)).toHaveLength(50);
  expect(uids(second)[0]).toBe('uid-99950');
  expect(second).toContain('/account?page=1#sessions');
  const last = await page('/account?page=2000');
  expect([uids(last).at(-1), last.includes('Older sessions')]).toEqual(['uid-1', false]);
  for (const odd of ['0', '-1', 'x', '1e9', '99999999'])
    expect(uids(await page(`/account?page=${odd}`))).toEqual(uids(first));

  const requests = await page('/account/requests');
  expect([...requests.matchAll(/name="request"/g)]).toHaveLength(50);
  for (const text of [first, second, last, requests]) expect(text.length).toBeLessThan(100_000);

  // Whoever wants all of them gone is not shown them first.
  const out = await ada.agent.post('/account/sessions/end-all').type('form').send({});
  expect(out.status).toBe(303);
});

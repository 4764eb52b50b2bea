/**
 * Unbounded work: a walk over all routes of the running server, as it has registered them itself. A
 * new route without a limit, and one that stores something for a request that changed nothing, fail here.
 */
import KoaRouter from '@koa/router';
import Provider from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import ProviderRouter from 'oidc-provider/lib/helpers/router.js';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { signOut, visit } from '../support/visits.ts';

interface Route {
  method: string;
  path: string;
}

const routes = new Map<string, Route>();
let server: TestServer;
beforeAll(async () => {
  // oidc-provider is known to have been loaded before its router is looked at.
  expect(Provider).toBeDefined();
  const add = (method: string, path: string) => {
    // A route for all methods has some that no client sends.
    if (/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(method))
      routes.set(`${method} ${path}`, { method, path });
  };
  const { routes: mount } = KoaRouter.prototype;
  vi.spyOn(KoaRouter.prototype, 'routes').mockImplementation(function (this: KoaRouter) {
    for (const { methods, path } of this.stack) for (const method of methods) add(method, String(path));
    return mount.call(this);
  });
  for (const method of ['get', 'post', 'put', 'delete', 'options'] as const) {
    const register = ProviderRouter.prototype[method];
    vi.spyOn(ProviderRouter.prototype, method).mockImplementation(function (
      this: object,
      ...args: unknown[]
    ) {
      add(method.toUpperCase(), String(args[1]));
      return register.apply(this, args);
    });
  }
  server = await startServer({
    clients: Object.values(apps),
    forwardAuth: { cookie_domain: 'cypher.test', sites: [{ host: 'wiki.cypher.test' }] },
    settings: {
      TRUSTED_PROXIES: '127.0.0.1',
      LIMIT_ADDRESS_PER_MINUTE: '1',
      TRUSTED_NETWORKS: '127.0.0.1',
      REGISTRATION: 'open',
      CIBA: 'on',
      CLIENT_ID_METADATA_DOCUMENTS: 'on',
    },
  });
});
afterAll(async () => {
  vi.restoreAllMocks();
  await server.close();
});

/** What is asked for by machines, one of them for many people; all others are pages. */
const machines =
  /^\/(token(\/introspection|\/revocation)?|me|jwks|request|device\/auth|backchannel|forward-auth|health\/(live|ready)|\.well-known\/.*|assets\/.*)\/?$/;
const [mostPages, mostOfMachines] = [20, 100];

let addresses = 0;
const newAddress = () => `198.51.${addresses >> 8}.${addresses++ & 255}`;

async function ask({ method, path }: Route, address: string, body?: string): Promise<number> {
  const headers: Record<string, string> = {
    'x-forwarded-for': address,
    accept: 'text/html',
    origin: server.url,
  };
  if (body !== undefined) headers['content-type'] = 'application/x-www-form-urlencoded';
  const answer = await fetch(server.url + path, { method, headers, redirect: 'manual', body: body ?? null });
  await answer.arrayBuffer();
  return answer.status;
}

/** How many rows each table has. */
async function rowsOf(): Promise<Record<string, number>> {
  await server.audit.flush();
  const tables = await server.database.query<{ name: string }>(
    'select tablename as name from pg_tables where schemaname = current_schema() order by 1',
  );
  const counts = tables.map(async ({ name }) => {
    const [row] = await server.database.query<{ count: number }>(
      `select count(*)::int as count from ${name}`,
    );
    return [name, row?.count ?? 0] as const;
  });
  return Object.fromEntries(await Promise.all(counts));
}

test('Unbounded work: every route of the running server has a limit by address, and stores nothing for a request that changed nothing', async () => {
  const all = [...routes.values()];
  // A floor, so that a walk that finds nothing does not pass.
  expect(all.length).toBeGreaterThan(60);
  for (const known of [
    'GET /auth',
    'POST /token',
    'GET /account',
    'POST /interaction/:uid/login/init',
    'GET /',
  ])
    expect([...routes.keys()].map((key) => key.replace(/(\w)\/$/, '$1'))).toContain(known);
  const others = ['/assets/x.js', '/health/seen', '/nothing-here'].map((path) => ({ method: 'GET', path }));
  const before = await rowsOf();
  const unlimited: string[] = [];
  for (const { method, path } of [...all, ...others]) {
    const concrete = path.replaceAll(/:\w+/g, 'x') || '/';
    const most = machines.test(concrete) ? mostOfMachines : mostPages;
    const address = newAddress();
    const statuses = await Promise.all(
      Array.from({ length: most + 1 }, () => ask({ method, path: concrete }, address)),
    );
    if (!statuses.includes(429)) unlimited.push(`${method} ${path}`);
    expect([method, path, statuses.filter((status) => status >= 500)]).toEqual([method, path, []]);
  }
  expect(unlimited).toEqual([]);
  expect(await rowsOf()).toEqual(before);
});

test('Unbounded work: forms of strangers, sign-outs of strangers and wrong input store nothing', async () => {
  const before = await rowsOf();
  const web = new URLSearchParams({
    client_id: 'web',
    post_logout_redirect_uri: 'https://web.example/',
    state: 'a b',
  });
  const asked = await fetch(`${server.url}/session/end?${web}`, { redirect: 'manual' });
  expect([asked.status, asked.headers.get('location')]).toEqual([303, 'https://web.example/?state=a+b']);
  const plain = await fetch(`${server.url}/session/end`, { redirect: 'manual' });
  expect(new URL(plain.headers.get('location') ?? '').pathname).toBe('/session/end/success');
  for (const path of [
    '/session/end',
    '/device',
    '/device?user_code=BBBB-BBBB',
    '/',
    '/account',
    '/session/end/success',
  ])
    expect([path, await ask({ method: 'GET', path }, newAddress())]).not.toEqual([path, 500]);
  for (const path of ['/session/end', '/session/end/confirm', '/device'])
    await ask({ method: 'POST', path }, newAddress(), 'xsrf=x&logout=yes&user_code=BBBB-BBBB');
  expect(await rowsOf()).toEqual(before);
});

test('the audit log has what happened, and nothing for posts with made-up ids or by nobody', async () => {
  const events = async () => {
    await server.audit.flush();
    const rows = await server.database.query<{ event: string }>('select event from audit_log order by id');
    return rows.map(({ event }) => event);
  };
  const ada = createPerson(server, 'ada');
  await openAccount(ada);
  const signedIn = await events();
  for (let n = 0; n < 5; n++) {
    await postForm(ada, 'sessions/end', { session: `made-up-${n}` });
    await postForm(ada, 'apps/remove', { client: `anything one likes ${n}` });
  }
  expect(await events()).toEqual(signedIn);
  await signOut(ada);
  expect(await events()).toEqual([...signedIn, 'session.ended']);
  for (let n = 0; n < 5; n++)
    await ask({ method: 'POST', path: '/session/end/confirm' }, newAddress(), 'xsrf=x&logout=yes');
  expect(await events()).toEqual([...signedIn, 'session.ended']);
});

test('the audit log has one revocation of a token, however often it is given back', async () => {
  const bob = createPerson(server, 'bob');
  const { access_token: access } = await bob.tokensFor(apps.web);
  const { refresh_token: refresh } = await bob.tokensFor(apps.web);
  const revoked = async () => {
    await server.audit.flush();
    const rows = await server.database.query("select from audit_log where event = 'token.revoked'");
    return rows.length;
  };
  for (const token of [access, refresh]) {
    const before = await revoked();
    for (let n = 0; n < 4; n++) await asApp(server, apps.web, { token }, '/token/revocation');
    expect(await revoked()).toBe(before + 1);
  }
});

test('the audit log has one refusal of a blocked name, however many are refused', async () => {
  const { person, uid } = await visit(server, 'cleo');
  const statuses: number[] = [];
  for (let n = 0; n < 12; n++)
    statuses.push((await person.step(uid, 'login/init', { username: 'cleo', ke1: 'x' })).status);
  expect(statuses.filter((status) => status === 429)).toHaveLength(7);
  await server.audit.flush();
  expect(await server.database.query("select from audit_log where event = 'login.blocked'")).toHaveLength(1);
});

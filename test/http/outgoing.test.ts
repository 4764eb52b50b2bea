/** Requests that strangers have this server make: whom they reach, how many there are, and what they cost everybody else. */
import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { generateKeyPair, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createOutgoing } from '../../src/http/outgoing.ts';
import { apps } from '../support/apps.ts';
import { type NameServer, startNameServer } from '../support/name_server.ts';
import { asApp } from '../support/person.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';

const keys = await generateKeyPair('ES256', { extractable: true });
const signing = {
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  redirect_uris: ['https://app.example/callback'],
};

let inside: Receiver;
let server: TestServer;
let names: NameServer;
beforeAll(async () => {
  inside = await startReceiver({ tls: true });
  // The operator's app and a stranger's name the same inner address.
  const operators = { ...signing, client_id: 'operators', jwks_uri: `${inside.url}/jwks` };
  server = await startServer({
    clients: [operators, apps.api],
    settings: {
      REGISTRATION: 'open',
      CLIENT_ID_METADATA_DOCUMENTS: 'on',
      TRUSTED_PROXIES: '127.0.0.1,::1',
      LIMIT_ADDRESS_PER_MINUTE: '10',
    },
  });
});
afterAll(async () => {
  await server.close();
  await inside.close();
});

const post = (path: string, form: object, from: string) =>
  request(server.url).post(path).set('x-forwarded-for', from).type('form').send(form);

async function assertion(clientId: string) {
  const jwt = new SignJWT({ iss: clientId, sub: clientId, aud: server.url, jti: crypto.randomUUID() });
  return {
    client_id: clientId,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await jwt
      .setProtectedHeader({ alg: 'ES256', kid: 'a' })
      .setIssuedAt(Math.floor(server.clock.now() / 1000))
      .setExpirationTime(Math.floor(server.clock.now() / 1000) + 60)
      .sign(keys.privateKey),
  };
}

test('an inner address is asked for the operator’s own app, and never for a stranger’s that names the same one', async () => {
  const { body: stranger } = await request(server.url)
    .post('/reg')
    .send({ ...signing, jwks_uri: `${inside.url}/jwks` })
    .expect(201);
  const grant = { grant_type: 'client_credentials' };
  await post('/token', { ...grant, ...(await assertion(stranger.client_id)) }, '198.18.0.1').expect(401);
  expect(inside.received).toEqual([]);
  await post('/token', { ...grant, ...(await assertion('operators')) }, '198.18.0.1').expect(401);
  expect(inside.received.map(({ path }) => path)).toEqual(['/jwks']);
});

const derive = promisify(pbkdf2);

test('Unbounded work: names whose DNS never answers stop neither the database nor anything else', async () => {
  names = await startNameServer();
  try {
    let pending = 40;
    const slow = Array.from({ length: pending }, (_, n) =>
      post('/token', { client_id: `https://silent-${n}.example/client` }, `203.0.113.${n}`).then((answer) => {
        pending -= 1;
        return answer.status;
      }),
    );
    await vi.waitFor(() => expect(names.asked.size).toBe(40), { timeout: 20_000, interval: 10 });
    for (let n = 0; n < 10; n++) {
      await request(server.url).get('/health/ready').expect(200);
      await request(server.url).get('/').expect(200);
      // As OPAQUE and TLS do: by a thread of the pool.
      await derive('a', 'b', 1, 16, 'sha256');
    }
    // None of this has waited for any of those.
    expect(pending).toBe(40);
    expect(new Set(await Promise.all(slow))).toEqual(new Set([400]));
  } finally {
    await names.close();
  }
});

test('Unbounded work: each address may cause so many outgoing requests, by whichever endpoint, and others are not kept by it', async () => {
  names = await startNameServer(() => '10.0.0.1');
  try {
    const flood = '198.51.100.1';
    const paths = [
      '/token',
      '/token/introspection',
      '/token/revocation',
      '/request',
      '/device/auth',
      '/auth',
    ];
    const statuses = new Map(paths.map((path): [string, number[]] => [path, []]));
    for (let n = 0; n < 72; n++) {
      const path = paths[n % paths.length] ?? '';
      const client_id = `https://app-${n}.example/client`;
      const answer =
        path === '/auth'
          ? await request(server.url).get(path).query({ client_id }).set('x-forwarded-for', flood)
          : await post(path, { client_id }, flood);
      statuses.get(path)?.push(answer.status);
      if (answer.status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect(names.asked.size).toBe(60);
    for (const path of paths) expect([path, statuses.get(path)?.slice(10)]).toEqual([path, [429, 429]]);
    expect([...statuses.values()].flatMap((each) => each.slice(0, 10))).not.toContain(429);
    await post('/token', { client_id: 'https://app-70.example/client' }, '198.51.100.2').expect(400);
    expect(names.asked).toContain('app-70.example');
  } finally {
    await names.close();
  }
});

/** CPU that fifty introspections take, in milliseconds: the server is in this process, and how long they take is the machine's business. */
async function costOfIntrospections(): Promise<number> {
  const before = process.cpuUsage();
  for (let n = 0; n < 50; n++)
    expect((await asApp(server, apps.api, { token: 'unknown' }, '/token/introspection')).status).toBe(200);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

test('Unbounded work: ten thousand requests at once go out in bounded number, the operator’s before and beside them', async () => {
  names = await startNameServer((name) => (name.startsWith('silent') ? undefined : '127.0.0.1'));
  const stop = new AbortController();
  let underWay = 0;
  await costOfIntrospections();
  const cost = await costOfIntrospections();
  inside.answers('nothing');
  const outgoing = createOutgoing({ timeoutMs: 60_000, mayReach: () => true });
  try {
    const started = inside.received.length;
    const all = Array.from({ length: 10_000 }, () => {
      underWay += 1;
      return outgoing(inside.url, { signal: stop.signal }).catch(() => {
        underWay -= 1;
      });
    });
    await vi.waitFor(() => expect(inside.received.length).toBe(started + 64), { timeout: 40_000 });
    expect(underWay).toBeLessThanOrEqual(64 + 256);
    // Others are answered as before, by a server that has no more to do for each of them; none of those has ended meanwhile.
    const hanging = underWay;
    expect(await costOfIntrospections()).toBeLessThan(3 * cost + 100);
    expect([hanging > 64, underWay]).toEqual([true, hanging]);
    inside.answers({ status: 200 });
    const answer = await outgoing(inside.url, { anywhere: true });
    expect(answer.status).toBe(200);
    stop.abort();
    await Promise.all(all);
  } finally {
    await names.close();
  }
});

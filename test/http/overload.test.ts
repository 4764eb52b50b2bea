/** A rush of sign-ins: who is let in is answered, the others are refused at once, and nobody can keep the places taken. */
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startLogin } from '../../src/browser/opaque_client.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

/** Attempts, each of which counts for its account, for its address, and for the two together. */
const charged = async () =>
  (
    await server.database.query<{ count: number }>(
      'select sum(failures)::int / 3 as count from login_failures',
    )
  )[0]?.count;

test('a rush of KE1: the refused cost no statement and no line in the log, which tells their number', async () => {
  const { person, uid } = await visit(server, 'nobody');
  const { ke1 } = await startLogin('a password');
  const headers = {
    'content-type': 'application/json',
    cookie: cookieHeader(cookiesOf(person, `/interaction/${uid}`)),
  };
  const answers = await Promise.all(
    Array.from({ length: 300 }, async (_, count) => {
      const body = JSON.stringify({ username: `somebody-${count}`, ke1 });
      const answer = await fetch(`${server.url}/interaction/${uid}/login/init`, {
        method: 'POST',
        headers,
        body,
      });
      return {
        status: answer.status,
        headers: answer.headers,
        body: (await answer.json()) as Record<string, string>,
      };
    }),
  );
  const letIn = answers.filter(({ status }) => status === 200);
  const refused = answers.filter(({ status }) => status === 503);
  expect(letIn.length + refused.length).toBe(300);
  expect(letIn.length).toBeGreaterThanOrEqual(64);
  expect(refused.length).toBeGreaterThan(0);
  for (const { body } of letIn) expect(body.ke2).toEqual(expect.any(String));
  for (const { body, headers } of refused) {
    expect(body).toEqual({ error: 'overloaded', message: expect.any(String), id: expect.any(String) });
    expect(headers.get('retry-after')).toBe('2');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  }
  expect(new Set(refused.map(({ body }) => body.id)).size).toBe(refused.length);
  expect(await charged()).toBe(letIn.length);

  const told = () =>
    server
      .logged()
      .split('\n')
      .filter((line) => line.includes('were refused'))
      .map((line) => JSON.parse(line).count);
  await expect.poll(() => told().reduce((sum, count) => sum + count, 0)).toBe(refused.length);
  expect(server.logged()).not.toContain('"error":"overloaded"');
  expect(await server.metrics.registry.metrics()).toContain(`cypher_overloaded_total ${refused.length}`);
});

test('who sends a body slowly takes no place: with more of them than places a sign-in goes on', async () => {
  const { person, uid } = await visit(server, 'ada');
  const slow: Socket[] = await Promise.all(
    Array.from(
      { length: 100 },
      () =>
        new Promise<Socket>((resolve) => {
          const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => {
            socket.write(
              `POST /interaction/${uid}/login/init HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n{"user`,
              () => resolve(socket),
            );
          });
          socket.on('error', () => {});
        }),
    ),
  );
  try {
    // Until all of them have been seen.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { answer } = await person.loginInit(uid, { password: 'a wrong password' });
    expect(answer.status).toBe(200);
  } finally {
    for (const socket of slow) socket.destroy();
  }
});

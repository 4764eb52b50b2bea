/** Two instances on one storage, the commands beside them, and what can be seen of their keys from outside. */
import request from 'supertest';
import { vi } from 'vitest';
import { resourceSchema } from '../../src/config/schema.ts';
import { apps } from './apps.ts';
import { cypher } from './cypher.ts';
import { createMigratedDatabase, createRedisDatabase } from './databases.ts';
import { type App, asApp } from './person.ts';
import { startServer, type TestServer } from './server.ts';

const { web, api } = apps;

const files = resourceSchema.parse({
  audience: 'https://files.example/api',
  scopes: ['files.read'],
  client_id: api.client_id,
});
/** What an app asks for that wants a token which is checked offline. */
export const forFiles = { resource: files.audience, scope: 'openid files.read' };

/** For how long the instances publish a key before it signs, where others verify with it. */
export const aheadSeconds = 60;

export async function startPair(clients: object[] = []) {
  const created = await createMigratedDatabase();
  const storage = { databaseUrl: created.url, redisUrl: await createRedisDatabase() };
  const options = {
    clients: [...Object.values(apps), ...clients],
    resources: [files],
    settings: { KEY_PUBLISHED_AHEAD_SECONDS: String(aheadSeconds) },
  };
  const one = await startServer({ ...options, storage });
  const two = await startServer({ ...options, beside: one });
  const key = (...words: string[]) => cypher(storage, ['key', ...words]);
  return {
    one,
    two,
    both: [one, two],
    storage,
    options,
    /** `npx cypher key …` */
    key,
    /** The id that `key list` gives of a kind's key in this state; empty where there is none. */
    async idOf(kind: string, state = 'signing'): Promise<string> {
      const lines = (await key('list')).split('\n').map((line) => line.split('\t'));
      return lines.find((words) => words[0] === kind && words[2] === state)?.[1] ?? '';
    },
    async close() {
      await two.close();
      await one.close();
      await created.drop();
    },
  };
}

/** Once every instance has followed. */
export const soon = (assertion: () => Promise<void>) =>
  vi.waitFor(assertion, { timeout: 60_000, interval: 50 });

const published = async (
  server: TestServer,
  path: string,
): Promise<{ kid: string; state?: string; alg?: string }[]> =>
  (await request(server.url).get(path)).body.keys;
export const jwks = (server: TestServer) => published(server, '/jwks');
export const pasetoKeys = (server: TestServer) => published(server, '/.well-known/paseto-keys');

export const isActive = async (server: TestServer, token: string, app: App = web): Promise<boolean> =>
  (await asApp(server, app, { token }, '/token/introspection')).body.active;
export const refresh = (server: TestServer, token: string) =>
  asApp(server, web, { grant_type: 'refresh_token', refresh_token: token });

export const headerOf = (jwt: string) =>
  JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString());
export const kidOf = (paseto: string): string =>
  JSON.parse(Buffer.from(paseto.split('.')[3] ?? '', 'base64url').toString()).kid;

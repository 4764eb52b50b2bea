/** Bare oidc-provider, in memory: what the library can do with nothing behind it. */
import { join } from 'node:path';
import { startServer } from '../child.ts';
import { createHttp, type Jar } from '../http.ts';
import { codeOf } from '../oauth.ts';
import { freePort, type Stage } from '../stage.ts';
import { ofProcess } from '../usage.ts';
import type { Subject } from './subject.ts';

const redirectUri = 'https://app.example/callback';
const secretOf = (id: string) => `a-secret-of-the-${id}-0123456789abcdef0123456789`;
const none = { redirect_uris: [], response_types: [] };
const clients = [
  {
    client_id: 'app',
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
  },
  { client_id: 'api', ...none, grant_types: [] },
  { client_id: 'machine', ...none, grant_types: ['client_credentials'] },
].map((client) => ({ ...client, client_secret: secretOf(client.client_id) }));

export async function startBare(stage: Stage): Promise<Subject> {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const env = { ORIGIN: origin, CLIENTS: JSON.stringify(clients) };
  const args = [join(import.meta.dirname, '../peers/bare_server.ts')];
  const path = '/.well-known/openid-configuration';
  const running = await startServer(stage, { name: 'bare', args, env, origin, path });
  const subject: Subject = {
    name: 'oidc-provider, bare, in memory',
    origin,
    http: createHttp(origin),
    paths: { authorization: '/auth', token: '/token', introspection: '/token/introspection' },
    app: { id: 'app', secret: secretOf('app'), redirectUri, scope: 'openid' },
    api: { id: 'api', secret: secretOf('api') },
    machine: { id: 'machine', secret: secretOf('machine') },
    async signedIn() {
      const jar: Jar = new Map();
      await codeOf(subject, jar);
      return jar;
    },
    readyMs: running.readyMs,
    pid: running.pid,
    usage: () => ({ server: ofProcess(running.pid), postgres: 0, redis: 0 }),
    stop: running.stop,
  };
  return subject;
}

/** better-auth with its OAuth provider, on the run's PostgreSQL: what people would otherwise put into their app. */
import { join } from 'node:path';
import { startServer } from '../child.ts';
import { createHttp, expectStatus, type Jar } from '../http.ts';
import { freePort, type Stage } from '../stage.ts';
import { ofProcess } from '../usage.ts';
import type { Subject } from './subject.ts';

export interface BetterAuth extends Subject {
  /** Its sign-in by e-mail address and password. */
  signIn(): Promise<Jar>;
}

interface Made {
  client: { client_id: string; client_secret: string };
  person: { email: string; password: string };
}

export async function startBetterAuth(stage: Stage): Promise<BetterAuth> {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const env = { ORIGIN: origin, DATABASE_URL: await stage.createDatabase() };
  const args = [join(import.meta.dirname, '../peers/better_auth_server.ts')];
  const running = await startServer(stage, { name: 'better_auth', args, env, origin, path: '/bench' });
  const http = createHttp(origin);
  const { client, person } = JSON.parse((await http({ path: '/bench' })).text) as Made;
  const app = { id: client.client_id, secret: client.client_secret };
  const at = (path: string) => `/api/auth${path}`;
  const browsers: Jar[] = [];
  async function signIn(): Promise<Jar> {
    const jar: Jar = new Map();
    const { email, password } = person;
    const json = { email, password };
    expectStatus(await http({ path: at('/sign-in/email'), json, headers: { origin }, jar }), 200);
    return jar;
  }
  return {
    name: 'better-auth',
    origin,
    http,
    paths: {
      authorization: at('/oauth2/authorize'),
      token: at('/oauth2/token'),
      introspection: at('/oauth2/introspect'),
    },
    // Without offline_access it gives out no refresh token.
    app: { ...app, redirectUri: 'https://app.example/callback', scope: 'openid offline_access' },
    api: app,
    machine: { ...app, scope: 'read' },
    signIn,
    async signedIn() {
      // A sign-in takes it as long as a hundred other requests: a few browsers, in turn, are enough.
      const jar = browsers.length < 4 ? await signIn() : (browsers.shift() ?? new Map());
      browsers.push(jar);
      return jar;
    },
    readyMs: running.readyMs,
    pid: running.pid,
    usage: () => ({ server: ofProcess(running.pid), postgres: stage.postgresSeconds(), redis: 0 }),
    stop: running.stop,
  };
}

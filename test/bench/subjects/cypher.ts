/** Cypher as it is run in production: `node dist/main.js` on PostgreSQL and Redis, with the limits out of the way. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { built } from '../../support/built.ts';
import { type Running, startServer } from '../child.ts';
import { createHttp } from '../http.ts';
import type { OpaqueClients } from '../opaque_clients.ts';
import { createPeople, type People } from '../people.ts';
import { signIn } from '../sign_in.ts';
import { freePort, type Stage } from '../stage.ts';
import { ofProcess } from '../usage.ts';
import type { Subject } from './subject.ts';

export interface Cypher extends Subject {
  databaseUrl: string;
  people: People;
  opaque: OpaqueClients;
  /** This instance, with an app whose refreshes are answered with ID tokens by ES256, or without any. */
  withApp(app: 'es256' | 'no-id-token'): Subject;
  /** Starts another instance on the same storage, with the same settings and a port of its own. */
  startAnother(): Promise<Running>;
}

const root = join(import.meta.dirname, '../../..');
const redirectUri = 'https://app.example/callback';
const secretOf = (id: string) => `a-secret-of-the-${id}-0123456789abcdef0123456789`;
const client = (id: string, rest: object) => ({ client_id: id, client_secret: secretOf(id), ...rest });
const none = { redirect_uris: [], response_types: [] };
const signsIn = {
  redirect_uris: [redirectUri],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'],
  // No consent page: the bench measures the sign-in.
  first_party: true,
};
const clients = [
  client('app', signsIn),
  client('es256', { ...signsIn, id_token_signed_response_alg: 'ES256' }),
  client('no-id-token', { ...signsIn, id_token_at_refresh: false }),
  client('machine', { ...none, grant_types: ['client_credentials'] }),
];

export interface CypherSettings {
  /** How many accounts there are to sign in with. */
  people: number;
  /** More arguments for Node, for instance to profile. */
  nodeArgs?: string[];
}

export async function startCypher(
  stage: Stage,
  opaque: OpaqueClients,
  { people: count, nodeArgs = [] }: CypherSettings,
): Promise<Cypher> {
  const directory = mkdtempSync(join(stage.directory, 'cypher-'));
  writeFileSync(join(directory, 'clients.json'), JSON.stringify(clients));
  const databaseUrl = await stage.createDatabase();
  const kek = randomBytes(32);
  const env = {
    DATABASE_URL: databaseUrl,
    REDIS_URL: stage.redisUrl,
    KEY_ENCRYPTION_KEY: kek.toString('base64url'),
    DATA_DIR: directory,
    // As `npm start` and the container have it.
    NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compile'),
    CLIENTS_FILE: join(directory, 'clients.json'),
    LIMIT_ADDRESS_PER_MINUTE: '1000000',
    LIMIT_ACCOUNT_FAILURES: '1000',
  };
  const args = [...nodeArgs, built.server];
  const start = async () => {
    const port = await freePort();
    const origin = `http://localhost:${port}`;
    const ofItsOwn = { ...env, PORT: String(port), ISSUER: origin };
    const path = '/.well-known/openid-configuration';
    const server = { name: 'cypher', args, env: ofItsOwn, origin, path };
    return { origin, ...(await startServer(stage, server)) };
  };
  const { origin, ...running } = await start();
  const cypher: Cypher = {
    name: 'Cypher',
    origin,
    http: createHttp(origin),
    paths: { authorization: '/auth', token: '/token', introspection: '/token/introspection' },
    app: { id: 'app', secret: secretOf('app'), redirectUri, scope: 'openid' },
    // The tokens are for no API in particular: only the app may introspect them.
    api: { id: 'app', secret: secretOf('app') },
    machine: { id: 'machine', secret: secretOf('machine') },
    signedIn: async () => (await signIn(cypher)).jar,
    readyMs: running.readyMs,
    pid: running.pid,
    usage: () => ({
      server: ofProcess(running.pid),
      postgres: stage.postgresSeconds(),
      redis: stage.redisSeconds(),
    }),
    stop: running.stop,
    databaseUrl,
    opaque,
    withApp: (id) => ({ ...cypher, name: `Cypher, ${id}`, app: { ...cypher.app, id, secret: secretOf(id) } }),
    startAnother: start,
    people: createPeople(databaseUrl, kek),
  };
  await cypher.people.add(cypher, count);
  return cypher;
}

/**
 * better-auth with @better-auth/oauth-provider on PostgreSQL, registered by its own API: one account, one app, which also
 * asks for client credentials and introspects its own tokens. Tells what it made at /bench. Run by
 * subjects/better_auth.ts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { loadPeer } from './load.ts';

interface BetterAuth {
  betterAuth(options: object): object;
}
type Handler = (req: IncomingMessage, res: ServerResponse) => void;

const origin = process.env.ORIGIN ?? '';
const { default: pg } = (await loadPeer('pg')) as typeof import('pg');
const { betterAuth } = (await loadPeer('better-auth')) as BetterAuth;
const { jwt } = (await loadPeer('better-auth/plugins')) as { jwt(): object };
const { oauthProvider } = (await loadPeer('@better-auth/oauth-provider')) as {
  oauthProvider(options: object): object;
};
const { toNodeHandler } = (await loadPeer('better-auth/node')) as { toNodeHandler(auth: object): Handler };
const { getMigrations } = (await loadPeer('better-auth/db/migration')) as {
  getMigrations(options: object): Promise<{ runMigrations(): Promise<void> }>;
};

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
const options = {
  database: pool,
  baseURL: origin,
  secret: 'a-secret-of-the-bench-0123456789abcdef',
  emailAndPassword: { enabled: true },
  // The limits are out of the way, as Cypher's are.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: 'error' },
  plugins: [
    jwt(),
    oauthProvider({
      loginPage: '/login',
      consentPage: '/consent',
      scopes: ['openid', 'offline_access', 'read'],
      silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
    }),
  ],
};
await (await getMigrations(options)).runMigrations();
const handle = toNodeHandler(betterAuth(options));

let made: object | undefined;
createServer((req, res) => {
  if (req.url !== '/bench') return handle(req, res);
  res.statusCode = made ? 200 : 503;
  res.end(JSON.stringify(made ?? {}));
}).listen(Number(new URL(origin).port), '127.0.0.1', register);

async function register(): Promise<void> {
  const person = { email: 'person@example.com', password: 'correct horse battery staple', name: 'A person' };
  const signedUp = await post('/sign-up/email', person, {});
  const cookie = signedUp.headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ');
  const app = {
    client_name: 'The app',
    grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
    redirect_uris: ['https://app.example/callback'],
    token_endpoint_auth_method: 'client_secret_basic',
    scope: 'openid offline_access read',
  };
  const client = await (await post('/oauth2/create-client', app, { cookie })).json();
  const settings = 'update "oauthClient" set "clientCredentialsScopes" = $1, "skipConsent" = true';
  await pool.query(settings, [JSON.stringify(['read'])]);
  made = { client, person };
}

function post(path: string, body: object, headers: Record<string, string>): Promise<Response> {
  return fetch(`${origin}/api/auth${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin, ...headers },
    body: JSON.stringify(body),
  });
}

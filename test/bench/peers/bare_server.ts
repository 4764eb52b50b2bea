/**
 * Bare oidc-provider with its in-memory adapter: the ceiling. The same clients, client_secret_basic, RS256, PKCE, rotation
 * and features that are measured; nothing is stored, nobody is asked for a password. Run by subjects/bare.ts.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Provider, { type Adapter, type Configuration } from 'oidc-provider';

const origin = process.env.ORIGIN ?? '';
const clients = JSON.parse(process.env.CLIENTS ?? '[]') as NonNullable<Configuration['clients']>;

// The library's own adapter on its own LRU, with room for a run: the default one forgets after a thousand entries.
const lib = join(dirname(createRequire(import.meta.url).resolve('oidc-provider')));
const load = async (path: string) => (await import(pathToFileURL(join(lib, path)).href)).default;
const MemoryAdapter = (await load('adapters/memory_adapter.js')) as new (
  model: string,
  store: object,
) => Adapter;
const Lru = (await load('helpers/lru.js')) as new (options: { maxSize: number }) => object;
const store = new Lru({ maxSize: 1_000_000 });

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(origin, {
  adapter: (model) => new MemoryAdapter(model, store),
  clients,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' } as never] },
  cookies: { keys: ['a cookie key'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_ctx, { uid }) => `/sign-in/${uid}` },
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  pkce: { required: () => true },
  ttl: {
    AccessToken: 900,
    AuthorizationCode: 60,
    ClientCredentials: 900,
    Grant: 86_400,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: 86_400,
    Session: 43_200,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: async (_ctx, _client, oneOf) => oneOf ?? [] },
  },
});

const handle = provider.callback();
let people = 0;
createServer(async (req, res) => {
  if (!req.url?.startsWith('/sign-in/')) return handle(req, res);
  // Whoever asks is signed in as somebody new who consents to all.
  const { params, prompt, session } = await provider.interactionDetails(req, res);
  people += 1;
  const accountId = session?.accountId ?? `person-${people}`;
  const grant = new provider.Grant({ accountId, clientId: String(params.client_id) });
  grant.addOIDCScope('openid');
  const consent = { grantId: await grant.save() };
  const result = prompt.name === 'login' ? { login: { accountId }, consent } : { consent };
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
}).listen(Number(new URL(origin).port), '127.0.0.1');

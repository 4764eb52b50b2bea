/** Rich authorization requests (RFC 9396): what is asked for in particular is shown, granted and told to its API alone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import {
  type App,
  asApp,
  challengeOf,
  createPerson,
  interactionOf,
  type Person,
  verifier,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, intranet, machine, api } = apps;
const bank = {
  audience: 'https://bank.example/api',
  scopes: ['accounts'],
  token_format: 'v4.local',
  client_id: api.client_id,
  authorization_details_types: {
    payment: {
      title: 'Make one payment',
      fields: {
        amount: {
          label: 'Amount',
          type: 'group',
          required: true,
          fields: {
            value: { label: 'value', required: true },
            currency: { label: 'currency', values: ['EUR', 'USD'] },
          },
        },
        creditor: { label: 'To', required: true },
        actions: { label: 'Steps', type: 'list', values: ['initiate', 'cancel'] },
        instant: { label: 'At once', type: 'boolean' },
      },
    },
  },
};
const shop = {
  audience: 'https://shop.example/api',
  scopes: ['orders'],
  authorization_details_types: { order: { title: 'Place an order', fields: {} } },
};
const allowed = { authorization_details_types: ['payment', 'order'] };
const clients = [
  ...Object.values(apps),
  { ...web, client_id: 'payer', ...allowed },
  { ...intranet, client_id: 'own', ...allowed },
  { ...machine, client_id: 'robot', ...allowed },
];
const payer = { ...web, client_id: 'payer' };
const own = { ...intranet, client_id: 'own' };
const robot = { ...machine, client_id: 'robot' };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients, resources: [bank, shop] });
  ada = createPerson(server, 'ada');
  await ada.codeFor(intranet);
});
afterAll(() => server.close());

const payment = {
  type: 'payment',
  amount: { value: '12.50', currency: 'EUR' },
  creditor: 'Bea <b>Bold</b>',
  actions: ['initiate'],
  instant: true,
};
const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const asking = (details: unknown, more: object = {}) => ({
  scope: 'openid accounts',
  resource: bank.audience,
  authorization_details: JSON.stringify(details),
  ...more,
});
const authorize = (app: App, params: Record<string, string>) => ada.authorize(app, { ...pkce, ...params });
const introspected = async (app: App, token: string) =>
  (await asApp(server, app, { token }, '/token/introspection')).body;

test('RAR: the consent page shows the details in words; what was allowed is in token response and introspection', async () => {
  const start = await authorize(payer, asking([payment]));
  const page = await ada.agent.get(start.pathname);
  for (const words of [
    'Make one payment',
    'Amount: value',
    '12.50',
    'Amount: currency',
    'EUR',
    'To',
    'At once',
    'Yes',
  ])
    expect(page.text).toContain(words);
  expect(page.text).toContain('Bea &lt;b&gt;Bold');
  const tokens = await ada.tokensFor(payer, asking([payment]));
  expect(tokens).toMatchObject({ authorization_details: [payment] });
  for (const app of [payer, api])
    expect(await introspected(app, tokens.access_token)).toMatchObject({
      active: true,
      authorization_details: [payment],
    });
  const fresh = await asApp(server, payer, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  expect(fresh.body.authorization_details).toEqual([payment]);
});

test('RAR: every request with details asks again, of the own apps too; without the person’s answer there is no code', async () => {
  for (const app of [payer, own]) {
    await ada.tokensFor(app, asking([payment]));
    const again = await authorize(app, asking([payment]));
    expect(interactionOf(again)).toBeDefined();
    const silent = await authorize(app, asking([payment], { prompt: 'none' }));
    expect(silent.searchParams.get('error')).toBe('consent_required');
    const plain = await ada.tokensFor(app, { scope: 'openid accounts', resource: bank.audience });
    expect(plain).not.toHaveProperty('authorization_details');
  }
});

test('RAR: unknown types and fields, wrong values, other apps’ types and too much of it are refused', async () => {
  const { instant: _, ...fewer } = payment;
  const faulty = [
    [{ ...payment, type: 'unknown' }],
    [{ ...payment, type: 'constructor' }],
    [{ ...payment, more: 1 }],
    [{ ...fewer, creditor: undefined }],
    [{ ...payment, amount: { value: '1', currency: 'BTC' } }],
    [{ ...payment, amount: '1' }],
    [{ ...payment, amount: { value: '1', __proto__: null, constructor: 'x' } }],
    [{ ...payment, actions: ['steal'] }],
    [{ ...payment, instant: 'yes' }],
    [{ ...payment, creditor: 'moc.\u202Eelpmaxe' }],
    [{ ...payment, creditor: 'x'.repeat(301) }],
    [{ ...payment, locations: ['https://shop.example/api'] }],
    Array.from({ length: 30 }, () => payment),
    { type: 'payment' },
    'payment',
  ];
  for (const details of faulty) {
    const back = await authorize(payer, asking(details));
    expect
      .soft([details, back.searchParams.get('error')])
      .toEqual([details, 'invalid_authorization_details']);
  }
  const other = await authorize(web, asking([payment]));
  expect(other.searchParams.get('error')).toBe('invalid_authorization_details');
  const homeless = await authorize(payer, asking([payment], { resource: shop.audience }));
  expect(homeless.searchParams.get('error')).toBe('invalid_authorization_details');
});

test('RAR: a token tells its API what was allowed there, and nothing of another one; it can ask for less, never for more', async () => {
  const code_verifier = verifier();
  const order = { type: 'order' };
  const answer = await ada.agent.get('/auth').query({
    client_id: payer.client_id,
    redirect_uri: payer.redirect_uri,
    response_type: 'code',
    scope: 'openid accounts orders',
    resource: [bank.audience, shop.audience],
    authorization_details: JSON.stringify([payment, { ...payment, creditor: 'Carl' }, order]),
    code_challenge: challengeOf(code_verifier),
    code_challenge_method: 'S256',
  });
  const back = await ada.travel(new URL(String(answer.headers.location), server.url));
  const code = String(back.searchParams.get('code'));
  const redeem = { grant_type: 'authorization_code', redirect_uri: payer.redirect_uri, code, code_verifier };
  const first = await asApp(server, payer, { ...redeem, resource: shop.audience });
  expect(first.body.authorization_details).toEqual([order]);
  const refresh = (details?: unknown) =>
    asApp(server, payer, {
      grant_type: 'refresh_token',
      refresh_token: first.body.refresh_token,
      resource: bank.audience,
      ...(details ? { authorization_details: JSON.stringify(details) } : {}),
    });
  const more = await refresh([{ ...payment, creditor: 'Mallory' }]);
  expect([more.status, more.body.error]).toEqual([400, 'invalid_authorization_details']);
});

test('RAR: an app’s own token carries what its registration lets it ask for', async () => {
  const form = {
    grant_type: 'client_credentials',
    resource: bank.audience,
    authorization_details: JSON.stringify([payment]),
  };
  const { body } = await asApp(server, robot, form);
  expect(body.authorization_details).toEqual([payment]);
  expect((await introspected(api, body.access_token)).authorization_details).toEqual([payment]);
  expect((await asApp(server, machine, form)).body.error).toBe('invalid_authorization_details');
});

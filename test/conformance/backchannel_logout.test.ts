/** OpenID's plan for back-channel logout after a logout that an app begins. */
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { expectMetadata } from './metadata.ts';
import { ask, signOut, succeed } from './party.ts';

let server: TestServer;
let receiver: Receiver;
const rp = { ...apps.web, client_id: 'rp', require_pkce: false, backchannel_logout_uri: '' };
beforeAll(async () => {
  receiver = await startReceiver();
  rp.backchannel_logout_uri = `${receiver.url}/backchannel_logout`;
  server = await startServer({ clients: [rp] });
});
afterAll(async () => {
  await server.close();
  await receiver.close();
});

test('oidcc-backchannel-logout-discovery-endpoint-verification', async () => {
  expect(await expectMetadata(server, server.url)).toMatchObject({
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
    end_session_endpoint: `${server.url}/session/end`,
  });
});

test('oidcc-backchannel-rp-initiated-logout', async () => {
  const ada = createPerson(server, 'ada');
  const { tokens, claims } = await succeed(server, ada, rp);
  expect(claims.sid).toEqual(expect.any(String));
  const { location } = await signOut(ada, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: rp.post_logout_redirect_uris[0] ?? '',
    state: 'the state of the logout',
  });
  expect([...(location?.searchParams ?? [])]).toEqual([['state', 'the state of the logout']]);
  await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 8000);
  const [told] = receiver.received;
  expect(told?.path).toBe('/backchannel_logout');
  const form = new URLSearchParams(told?.body);
  expect([...form.keys()]).toEqual(['logout_token']);
  const keys = createRemoteJWKSet(new URL(`${server.url}/jwks`));
  const { payload, protectedHeader } = await jwtVerify(form.get('logout_token') ?? '', keys, {
    issuer: server.url,
    audience: rp.client_id,
    algorithms: ['RS256'],
    maxTokenAge: 120,
    requiredClaims: ['iat', 'exp', 'jti', 'events'],
  });
  expect(protectedHeader.typ).toBe('logout+jwt');
  expect(payload).toMatchObject({
    sub: claims.sub,
    sid: claims.sid,
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  });
  expect(payload).not.toHaveProperty('nonce');
  expect((await ask(server, ada, rp, { prompt: 'none' })).params.error).toBe('login_required');
});

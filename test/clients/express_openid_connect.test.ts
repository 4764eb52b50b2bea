/** express-openid-connect: code flow with PKCE and form_post, userinfo, refresh, sign-out at the provider. */
import express from 'express';
import { auth, requiresAuth } from 'express-openid-connect';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { throughProvider, throughSignOut } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type Site, startSite } from './site.ts';

let server: TestServer;
let site: Site;
beforeAll(async () => {
  site = await startSite();
  const client = {
    ...apps.web,
    client_id: 'express',
    client_name: 'An app with Express',
    redirect_uris: [`${site.url}/callback`],
    post_logout_redirect_uris: [site.url],
  };
  server = await startServer({ clients: [client] });
  const app = express();
  app.use(
    auth({
      issuerBaseURL: server.url,
      baseURL: site.url,
      clientID: client.client_id,
      clientSecret: client.client_secret,
      clientAuthMethod: 'client_secret_basic',
      secret: 'a secret of the app, for its own cookie',
      authRequired: false,
      idpLogout: true,
      authorizationParams: { response_type: 'code', scope: 'openid profile' },
    }),
  );
  app.get('/person', requiresAuth(), async (req, res) => {
    res.json(await req.oidc.fetchUserInfo());
  });
  app.get('/refresh', requiresAuth(), async (req, res) => {
    const before = req.oidc.accessToken?.access_token;
    const fresh = await req.oidc.accessToken?.refresh();
    res.json({ changed: fresh?.access_token !== before, person: await req.oidc.fetchUserInfo() });
  });
  site.serve(app);
});
afterAll(async () => {
  await server.close();
  await site.close();
});

test('a whole sign-in: to a page that asks for one, userinfo, refresh, and out of both', async () => {
  const ada = createPerson(server, 'ada');
  const browser = request.agent(site.url);
  const { headers } = await browser.get('/person');
  const back = await throughProvider(ada, new URL(String(headers.location)));
  const done = await browser.get(back.pathname + back.search);
  expect(done.headers.location).toBe('/person');
  expect((await browser.get('/person')).body).toMatchObject({ preferred_username: 'ada' });
  expect((await browser.get('/refresh')).body).toMatchObject({
    changed: true,
    person: { preferred_username: 'ada' },
  });
  const leaving = await browser.get('/logout');
  const home = await throughSignOut(ada, new URL(String(leaving.headers.location)));
  expect(home.origin).toBe(site.url);
  const anew = await browser.get('/person');
  expect(String(anew.headers.location)).toContain(server.url);
});

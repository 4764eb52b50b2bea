/** passport-openidconnect in an Express app. It knows no PKCE, posts its secret, and neither refreshes nor signs out. */
import express from 'express';
import session from 'express-session';
import passport from 'passport';
import { type Profile, Strategy, type VerifyCallback } from 'passport-openidconnect';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { throughProvider } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type Site, startSite } from './site.ts';

const { client_secret } = apps.web;
let server: TestServer;
let site: Site;
beforeAll(async () => {
  site = await startSite();
  const client = {
    client_id: 'passport',
    client_name: 'An app with Passport',
    client_secret,
    token_endpoint_auth_method: 'client_secret_post',
    redirect_uris: [`${site.url}/callback`],
    require_pkce: false,
  };
  server = await startServer({ clients: [client] });
  const strategy = new Strategy(
    {
      issuer: server.url,
      authorizationURL: `${server.url}/auth`,
      tokenURL: `${server.url}/token`,
      userInfoURL: `${server.url}/me`,
      clientID: client.client_id,
      clientSecret: client_secret,
      callbackURL: `${site.url}/callback`,
      scope: 'profile email',
      skipUserProfile: false,
    },
    (_issuer: string, profile: Profile, done: VerifyCallback) => done(null, profile),
  );
  const authenticator = new passport.Passport();
  authenticator.use(strategy);
  authenticator.serializeUser((user, done) => done(null, user));
  authenticator.deserializeUser((user: Express.User, done) => done(null, user));
  const app = express();
  app.use(session({ secret: 'a secret of the app', resave: false, saveUninitialized: false }));
  app.use(authenticator.session());
  app.get('/login', authenticator.authenticate('openidconnect'));
  app.get('/callback', authenticator.authenticate('openidconnect', { successRedirect: '/' }));
  app.get('/', (req, res) => {
    res.json(req.user ?? null);
  });
  site.serve(app);
});
afterAll(async () => {
  await server.close();
  await site.close();
});

test('signs a person in, with the profile from userinfo', async () => {
  const ada = createPerson(server, 'ada');
  const browser = request.agent(site.url);
  const { headers } = await browser.get('/login');
  const back = await throughProvider(ada, new URL(String(headers.location)));
  const done = await browser.get(back.pathname + back.search);
  expect([done.status, done.headers.location]).toEqual([302, '/']);
  expect((await browser.get('/')).body).toMatchObject({ id: expect.any(String), username: 'ada' });
});

test('takes no answer that another browser asked for', async () => {
  const bob = createPerson(server, 'bob');
  const browser = request.agent(site.url);
  const { headers } = await browser.get('/login');
  const back = await throughProvider(bob, new URL(String(headers.location)));
  const stranger = request.agent(site.url);
  expect((await stranger.get(back.pathname + back.search)).status).toBe(403);
  expect((await stranger.get('/')).body).toBeNull();
});

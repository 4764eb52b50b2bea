/** The adapters in the real frameworks, over HTTP: koa, express and fastify answer alike. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  accessFor,
  createVerifier,
  forExpress,
  forFastify,
  forKoa,
  metadataForExpress,
  metadataForFastify,
  metadataForKoa,
  type Verifier,
} from '../../src/resource_server/index.ts';
import { AUDIENCE, type Issuer, startIssuer } from './issuer.ts';

let issuer: Issuer;
let servers: Record<string, Server>;
beforeEach(async () => {
  issuer = await startIssuer(Date.UTC(2027, 0, 1));
  const verifier = createVerifier({ issuer: issuer.url, audience: AUDIENCE, now: issuer.now });
  servers = { koa: onKoa(verifier), express: onExpress(verifier), fastify: await onFastify(verifier) };
});
afterEach(async () => {
  for (const server of Object.values(servers)) await new Promise((resolve) => server.close(resolve));
  await issuer.close();
});

function onKoa(verifier: Verifier): Server {
  const app = new Koa();
  app.use(metadataForKoa(verifier));
  app.use(forKoa(verifier, 'reports:read'));
  app.use((ctx) => {
    ctx.body = { sub: accessFor(ctx).sub };
  });
  return app.listen(0, '127.0.0.1');
}

function onExpress(verifier: Verifier): Server {
  const app = express();
  app.use(metadataForExpress(verifier));
  app.get('/reports', forExpress(verifier, 'reports:read'), (request, response) => {
    response.json({ sub: accessFor(request).sub });
  });
  return app.listen(0, '127.0.0.1');
}

async function onFastify(verifier: Verifier): Promise<Server> {
  const app = fastify();
  app.addHook('onRequest', metadataForFastify(verifier));
  app.addHook('onRequest', forFastify(verifier, 'reports:read'));
  app.get('/reports', async (request) => ({ sub: accessFor(request).sub }));
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server;
}

test('all three let a good token on and refuse others with status, challenge and body', async () => {
  const good = await issuer.token();
  const narrow = await issuer.token({ scope: 'reports:list' });
  for (const [name, server] of Object.entries(servers)) {
    const { port } = server.address() as AddressInfo;
    const answerTo = async (authorization?: string) => {
      const headers = authorization ? { authorization } : {};
      const answer = await fetch(`http://127.0.0.1:${port}/reports`, { headers });
      const challenge = answer.headers.get('www-authenticate') ?? '';
      return { status: answer.status, body: (await answer.json()) as object, challenge };
    };
    expect
      .soft(await answerTo(`Bearer ${good}`), name)
      .toEqual({ status: 200, body: { sub: 'ada' }, challenge: '' });
    expect.soft(await answerTo(`Bearer ${narrow}`), name).toMatchObject({
      status: 403,
      body: { error: 'insufficient_scope' },
      challenge: expect.stringContaining('scope="reports:read"'),
    });
    expect.soft(await answerTo(), name).toMatchObject({ status: 401, body: { error: 'token_missing' } });
  }
});

test('all three serve the metadata of the API to anybody, and their challenges name its address', async () => {
  const metadataUrl = 'https://api.example.com/.well-known/oauth-protected-resource/reports';
  const { pathname } = new URL(metadataUrl);
  for (const [name, server] of Object.entries(servers)) {
    const { port } = server.address() as AddressInfo;
    const at = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init);
    const answer = await at(pathname);
    expect
      .soft([name, answer.status, answer.headers.get('access-control-allow-origin')])
      .toEqual([name, 200, '*']);
    expect.soft(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect.soft(await answer.json(), name).toEqual({
      resource: AUDIENCE,
      authorization_servers: [issuer.url],
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519'],
      dpop_bound_access_tokens_required: false,
    });
    expect.soft([name, (await at(`${pathname}?x=1`)).status]).toEqual([name, 200]);
    expect.soft([name, (await at(pathname, { method: 'OPTIONS' })).status]).toEqual([name, 204]);
    for (const elsewhere of [`${pathname}/more`, '/.well-known/oauth-protected-resource'])
      expect.soft([name, (await at(elsewhere)).status === 200]).toEqual([name, false]);
    for (const authorization of [undefined, 'Bearer v4.public.rubbish.rubbish']) {
      const refused = await at('/reports', authorization ? { headers: { authorization } } : {});
      const challenge = refused.headers.get('www-authenticate');
      expect
        .soft([name, refused.status, challenge])
        .toEqual([name, 401, expect.stringContaining(`resource_metadata="${metadataUrl}"`)]);
    }
  }
});

test('a route that no verifier stands before fails loudly', () => {
  expect(() => accessFor({})).toThrow('no verifier');
});

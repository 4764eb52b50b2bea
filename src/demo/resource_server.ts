/**
 * A sample resource server. Its two endpoints show the two ways to verify an access token. /notes asks the provider
 * (introspection), which sees revocations at once. /reports verifies v4.public tokens without a call, so a token is
 * accepted until it expires. It is a model for your own API, which imports `cypher-idp/resource-server`.
 */
import Router from '@koa/router';
import Koa from 'koa';
import { accessFor, createVerifier, forKoa, metadataForKoa } from '../resource_server/index.ts';

export interface ResourceServerOptions {
  issuer: string;
  /** The address of this server. Its audiences are the addresses of its endpoints. */
  url: string;
  clientId: string;
  clientSecret: string;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** Builds the server's request handler. */
export function createResourceServer({ issuer, url, clientId, clientSecret, now }: ResourceServerOptions) {
  const introspection = { clientId, clientSecret };
  const notes = createVerifier({ issuer, audience: `${url}/notes`, introspection, now });
  const reports = createVerifier({ issuer, audience: `${url}/reports`, now });
  const router = new Router();
  router.get('/', (ctx) => {
    ctx.body = { endpoints: [`${url}/notes`, `${url}/reports`] };
  });
  router.get('/notes', forKoa(notes, 'notes:read'), (ctx) => {
    ctx.body = { checked: 'by introspection', for: accessFor(ctx).sub, notes: ['Buy milk', 'Call Ada'] };
  });
  router.get('/reports', forKoa(reports, 'reports:read'), (ctx) => {
    ctx.body = { checked: 'offline', for: accessFor(ctx).sub, reports: ['Q3: all is well'] };
  });
  const app = new Koa();
  for (const verifier of [notes, reports]) app.use(metadataForKoa(verifier));
  return app.use(router.routes()).callback();
}

/**
 * A sample resource server with two endpoints, one for each way to check an access token: /notes asks the provider
 * (introspection: sees revocations at once), /reports checks by itself (v4.public: no call, good until it expires).
 * The model for an API of your own, which imports `cypher-idp/resource-server`.
 */
import Router from '@koa/router';
import Koa from 'koa';
import { accessFor, createVerifier, forKoa, metadataForKoa } from '../resource_server/index.ts';

export interface ResourceServerOptions {
  issuer: string;
  /** Where this server answers; its audiences are its endpoints' addresses. */
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

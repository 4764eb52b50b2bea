/**
 * The verifier as middleware for koa, express and fastify. Only the parts of the frameworks' types that are used are
 * declared, so that no framework is a dependency. A route behind such a middleware calls `accessFor(ctx)` (koa) or
 * `accessFor(request)`.
 */
import type { Access } from './access.ts';
import { metadataHeaders } from './metadata.ts';
import type { Refusal } from './refusal.ts';
import type { Verifier } from './verifier.ts';

interface Headers {
  authorization?: string | undefined;
  dpop?: string | string[] | undefined;
}

const accesses = new WeakMap<object, Access>();

/**
 * The access of a verified request. Throws if no verifier stands before the route: such a route would be open by
 * mistake.
 */
export function accessFor(request: object): Access {
  const access = accesses.get(request);
  if (!access) throw new Error('no verifier stands before this route');
  return access;
}

async function admit(
  verifier: Verifier,
  scopes: readonly string[],
  request: { method: string; path: string; headers: Headers; key: object },
): Promise<Refusal | undefined> {
  const { method, path, headers, key } = request;
  const dpop = headers.dpop?.toString();
  const verdict = await verifier.verify({ method, path, authorization: headers.authorization, dpop }, scopes);
  if (!verdict.ok) return verdict.refusal;
  accesses.set(key, verdict.access);
  return undefined;
}

/** The body of a refusal: OAuth's error, or else the verifier's own code. */
const bodyOf = ({ error, code, description }: Refusal) => ({
  error: error ?? code,
  error_description: description,
});

/** The answer at the metadata's address. Undefined for every other request. */
function metadataAnswer(verifier: Verifier, method: string, address: string) {
  const { metadata } = verifier;
  if (!metadata || address.replace(/\?.*$/s, '') !== metadata.path) return undefined;
  if (method === 'OPTIONS') return { status: 204, body: {} };
  return method === 'GET' || method === 'HEAD' ? { status: 200, body: metadata.document } : undefined;
}

interface KoaContext {
  method: string;
  originalUrl: string;
  headers: Headers;
  status: number;
  body: unknown;
  set(headers: Record<string, string>): void;
}

/** Koa middleware: lets a request pass that carries a valid token with all these scopes, and refuses all others. */
export function forKoa(verifier: Verifier, ...scopes: string[]) {
  return async (ctx: KoaContext, next: () => Promise<unknown>): Promise<void> => {
    const { method, originalUrl: path, headers } = ctx;
    const refusal = await admit(verifier, scopes, { method, path, headers, key: ctx });
    if (!refusal) return void (await next());
    ctx.status = refusal.status;
    ctx.set(refusal.headers);
    ctx.body = bodyOf(refusal);
  };
}

/** Koa middleware for the whole app: serves the API's metadata (RFC 9728) to anybody. */
export function metadataForKoa(verifier: Verifier) {
  return async (ctx: KoaContext, next: () => Promise<unknown>): Promise<void> => {
    const answer = metadataAnswer(verifier, ctx.method, ctx.originalUrl);
    if (!answer) return void (await next());
    ctx.status = answer.status;
    ctx.set({ ...metadataHeaders });
    ctx.body = answer.body;
  };
}

interface ExpressRequest {
  method: string;
  originalUrl: string;
  headers: Headers;
}
interface ExpressResponse {
  status(code: number): { set(headers: Record<string, string>): { json(body: object): unknown } };
}

/**
 * Express middleware: lets a request pass that carries a valid token with all these scopes, and refuses all others.
 */
export function forExpress(verifier: Verifier, ...scopes: string[]) {
  return (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void): void => {
    const { method, originalUrl: path, headers } = request;
    admit(verifier, scopes, { method, path, headers, key: request }).then((refusal) => {
      if (!refusal) return next();
      response.status(refusal.status).set(refusal.headers).json(bodyOf(refusal));
    }, next);
  };
}

/** Express middleware for the whole app: serves the API's metadata (RFC 9728) to anybody. */
export function metadataForExpress(verifier: Verifier) {
  return (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void): void => {
    const answer = metadataAnswer(verifier, request.method, request.originalUrl);
    if (answer)
      response
        .status(answer.status)
        .set({ ...metadataHeaders })
        .json(answer.body);
    else next();
  };
}

interface FastifyRequest {
  method: string;
  originalUrl: string;
  headers: Headers;
}
interface FastifyReply {
  code(status: number): { headers(headers: Record<string, string>): { send(body: object): unknown } };
}

/**
 * A fastify hook for `onRequest`: lets a request pass that carries a valid token with all these scopes, and refuses
 * all others.
 */
export function forFastify(verifier: Verifier, ...scopes: string[]) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { method, originalUrl: path, headers } = request;
    const refusal = await admit(verifier, scopes, { method, path, headers, key: request });
    return refusal && reply.code(refusal.status).headers(refusal.headers).send(bodyOf(refusal));
  };
}

/** A fastify hook for `onRequest`, before all others: serves the API's metadata (RFC 9728) to anybody. */
export function metadataForFastify(verifier: Verifier) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const answer = metadataAnswer(verifier, request.method, request.originalUrl);
    return (
      answer &&
      reply
        .code(answer.status)
        .headers({ ...metadataHeaders })
        .send(answer.body)
    );
  };
}

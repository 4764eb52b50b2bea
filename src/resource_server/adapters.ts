/**
 * The verifier in koa, express and fastify. The frameworks' types are described by what is used of them, so that none is
 * a dependency. A route behind one of these reads `accessFor(ctx)` (koa) or `accessFor(request)`.
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

/** What the request was let through with. Throws where no verifier stands before the route: an open door is a mistake. */
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

/** The body of a refusal: OAuth's error, or the verifier's own word for it. */
const bodyOf = ({ error, code, description }: Refusal) => ({
  error: error ?? code,
  error_description: description,
});

/** What is answered at the metadata's address; undefined for every other request. */
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

/** Koa middleware: lets requests on that carry a good token with all these scopes. */
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

/** Koa middleware for the whole app: serves the API's metadata (RFC 9728), to anybody. */
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

/** Express middleware: lets requests on that carry a good token with all these scopes. */
export function forExpress(verifier: Verifier, ...scopes: string[]) {
  return (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void): void => {
    const { method, originalUrl: path, headers } = request;
    admit(verifier, scopes, { method, path, headers, key: request }).then((refusal) => {
      if (!refusal) return next();
      response.status(refusal.status).set(refusal.headers).json(bodyOf(refusal));
    }, next);
  };
}

/** Express middleware for the whole app: serves the API's metadata (RFC 9728), to anybody. */
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

/** A fastify hook for `onRequest`: lets requests on that carry a good token with all these scopes. */
export function forFastify(verifier: Verifier, ...scopes: string[]) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { method, originalUrl: path, headers } = request;
    const refusal = await admit(verifier, scopes, { method, path, headers, key: request });
    return refusal && reply.code(refusal.status).headers(refusal.headers).send(bodyOf(refusal));
  };
}

/** A fastify hook for `onRequest`, before the others: serves the API's metadata (RFC 9728), to anybody. */
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

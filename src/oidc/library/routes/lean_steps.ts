/**
 * Override of oidc-provider's routes: the steps of its token, introspection and revocation endpoints that a plain request
 * runs through for nothing. Each is asked for only where it has something to do, and is then the library's own; what is
 * the same at every request (which parameters an endpoint takes, what it tells of CORS) is learned from its first.
 */
import { parse } from 'node:querystring';
import { errors } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import Params from 'oidc-provider/lib/helpers/params.js';
import { nameOf, type Parameters, type Step, type StepContext } from './step.ts';

/** The same step, or one in its place that answers plain requests as it would. */
export function leaner(step: Step): Step {
  // The library's own are functions without a name where they are made by another one.
  const make = replacements[nameOf(step) || 'cors'];
  return make ? make(step) : step;
}

const only =
  (needed: (ctx: StepContext) => boolean) =>
  (step: Step): Step =>
  (ctx, next) =>
    needed(ctx) ? step(ctx, next) : next();

const hasRepeated = ({ oidc: { params } }: StepContext): boolean => Object.values(params).some(Array.isArray);

const replacements: Record<string, (step: Step) => Step> = {
  // None of these endpoints opens a session.
  ensureSessionSave: only(() => false),
  cors: learnedCors,
  urlencoded: (step) => (ctx, next) => {
    const length = plainLength(ctx);
    if (length === undefined) return step(ctx, next);
    return readForm(ctx, length).then((form) => {
      ctx.oidc.body = form;
      return next();
    });
  },
  assembleTokenParams: learnedParameters(() => ''),
  stripGrantIrrelevantParams: learnedParameters(({ oidc }) => oidc.params.grant_type),
  rejectClientAuthDupes: only(hasRepeated),
  'bound rejectDupes': only(hasRepeated),
  rejectDupesOptionalExcept: only(hasRepeated),
  validateTokenPresence: only(({ oidc }) => oidc.params.token === undefined),
  // A JWS has three parts and a JWE five. Of all else the library learns by two exceptions that it is no JWT.
  rejectStructuredTokens: only(({ oidc }) => [3, 5].includes(String(oidc.params.token).split('.', 6).length)),
  jwtIntrospectionResponse: only(
    ({ oidc: { client }, headers: { accept = '*/*' } }) =>
      client.introspectionEncryptedResponseAlg !== undefined || !plainlyAccepted.has(accept),
  ),
};

/** The names of the library's steps that are replaced here. */
export const leanStepNames = Object.keys(replacements);

const plainlyAccepted = new Set(['*/*', 'application/json']);

/** What the library takes of a body. */
const mostBytes = 56 * 1024;

/** The length of a body that Node's parser holds to it; undefined where the library has to look at the request. */
function plainLength({ method, req, headers }: StepContext): number | undefined {
  const length = Number(headers['content-length']);
  const isPlain =
    method === 'POST' &&
    plainType.test(headers['content-type'] ?? '') &&
    length > 0 &&
    length <= mostBytes &&
    req.readable &&
    !req.readableEncoding;
  return isPlain ? length : undefined;
}

const plainType = /^application\/x-www-form-urlencoded(; ?charset=utf-8)?$/i;

/** Rejects where the connection ends before the body. */
function readForm({ req }: StepContext, length: number): Promise<Parameters> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.once('end', () => resolve(parse(Buffer.concat(chunks, length).toString())));
    req.once('error', (cause) =>
      reject(new errors.InvalidRequest('failed to parse the request body', undefined, { cause } as never)),
    );
  });
}

/**
 * Which parameters are left behind this step, learned from the first request of each kind: the step makes a set of them, or
 * deletes all others, at every request. Only steps that took something away are remembered, for anybody may make up kinds.
 */
function learnedParameters(kindOf: (ctx: StepContext) => unknown) {
  return (step: Step): Step => {
    const known = new Map<unknown, string[]>();
    return (ctx, next) => {
      const kind = kindOf(ctx);
      const names = known.get(kind);
      if (!names) {
        const before = Object.keys(ctx.oidc.params ?? {}).length;
        return step(ctx, () => {
          const left = Object.keys(ctx.oidc.params);
          if (left.length !== before) known.set(kind, left);
          return next();
        });
      }
      ctx.oidc.params = new Params(names, ctx.oidc.body);
      return next();
    };
  };
}

const exposed = 'Access-Control-Expose-Headers';

/** What is answered to requests of no page. A page's request is the library's. */
function learnedCors(step: Step): Step {
  let headers: [name: string, value: string][] | undefined;
  return (ctx, next) => {
    if (ctx.headers.origin !== undefined || ctx.method !== 'POST') return step(ctx, next);
    if (!headers)
      return step(ctx, () => {
        headers = ['Vary', 'Access-Control-Allow-Origin', exposed].flatMap((name) => {
          const value = ctx.response.get(name);
          return value ? [[name, value]] : [];
        });
        return next();
      });
    for (const [name, value] of headers) ctx.res.setHeader(name, value);
    return next();
  };
}

/**
 * Override of oidc-provider's routes, for speed. At the token, introspection and revocation endpoints, several steps
 * do nothing for a plain request. Here the library's step runs only if it has something to do. What is the same for
 * every request (the parameters of an endpoint, its CORS headers) is learned from the first request.
 *
 * Without it, an introspection and a client credentials request take 1.2 times as much CPU of the server (in turns,
 * twelve blocks of two seconds each). `test/http/lean_routes.test.ts` compares it with the library's steps. To delete it,
 * remove the call of `leaner`.
 */
import { parse } from 'node:querystring';
import { errors } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import Params from 'oidc-provider/lib/helpers/params.js';
import { nameOf, type Parameters, type Step, type StepContext } from './step.ts';

/** Returns the step, or a faster replacement that treats plain requests in the same way. */
export function leaner(step: Step): Step {
  // A step that a factory of the library makes has no name. On these routes that is only the CORS step.
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
  // A JWS has three parts and a JWE five. For any other text, the library's step would throw and catch two
  // exceptions.
  rejectStructuredTokens: only(({ oidc }) => [3, 5].includes(String(oidc.params.token).split('.', 6).length)),
  jwtIntrospectionResponse: only(
    ({ oidc: { client }, headers: { accept = '*/*' } }) =>
      client.introspectionEncryptedResponseAlg !== undefined || !plainlyAccepted.has(accept),
  ),
};

/** The names of the library's steps that are replaced here. */
export const leanStepNames = Object.keys(replacements);

const plainlyAccepted = new Set(['*/*', 'application/json']);

/** The largest body that the library accepts. */
const mostBytes = 56 * 1024;

/**
 * The length of a plain form body, which Node's parser enforces. Undefined if the library must handle the request.
 */
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

/** Reads and parses a form body of this length. Rejects if the connection ends before the body does. */
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
 * Learns from the first request of each kind which parameters are left after the step, and then picks them without
 * the step. A kind is remembered only if the step changed the number of parameters. A client can invent kinds, and
 * they must not fill the memory.
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

/** Learns the CORS headers for requests without an Origin header. The library handles those of pages. */
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

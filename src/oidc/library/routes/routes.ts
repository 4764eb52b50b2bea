/**
 * Override of oidc-provider's routes. The library has no hook for a single step of an endpoint, and its steps are known by their
 * names alone. Its router is watched while a provider is built, and each route is registered with our steps:
 *
 * - the first opens the request's scope (request_scope.ts), and makes the library's context without a getter of its own, by which
 *   V8 would keep every request until the next full collection;
 * - the last of a token request or an authorization is followed by the writes of the request (token_commit.ts,
 *   models/pushed_request.ts);
 * - those of which `changed` has the names are changed (changed_steps.ts, anonymous_forms.ts);
 * - the endpoints that apps and APIs call at every turn do without what a plain request runs through for nothing
 *   (lean_steps.ts).
 */
import type { Context } from 'koa';
import type Provider from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import als from 'oidc-provider/lib/helpers/als.js';
// @ts-expect-error: not part of the library's types.
import Router from 'oidc-provider/lib/helpers/router.js';
import { modelOf } from '../models/model.ts';
import { settlePushedRequest } from '../models/pushed_request.ts';
import { openScope } from '../request_scope.ts';
import { leaner } from './lean_steps.ts';
import { type Change, nameOf, type Step, type StepContext } from './step.ts';
import { settleTokenRequest } from './token_commit.ts';

/** What is put in the place of steps, by their names. */
export type ChangedSteps = Record<string, Change>;

/** The endpoints that apps and APIs call at every turn. */
const hotRoutes = new Set(['token', 'introspection', 'revocation']);

/** The last steps of requests that use something up, with what they then write. */
export const settling: ChangedSteps = {
  callTokenHandler: settleTokenRequest,
  respond: settlePushedRequest,
};

type Register = (this: unknown, name: string, path: string, ...steps: Step[]) => unknown;

const methods = ['get', 'post', 'put', 'delete', 'options'] as const;

/** Builds a provider whose routes are these. Steps that several tables change are changed by each, in their order. */
export function withOurRoutes(build: () => Provider, ...changed: ChangedSteps[]): Provider {
  const own: Record<(typeof methods)[number], Register> = { ...pick(Router.prototype) };
  let provider: Provider | undefined;
  const openContext: Step = (ctx, next) => {
    if (!provider) throw new Error('the provider is not built yet');
    const OidcContext = modelOf<new (ctx: Context) => StepContext['oidc']>(provider, 'OIDCContext');
    ctx.oidc = new OidcContext(ctx);
    openScope(ctx);
    return als.run(ctx, next);
  };
  const ours = (route: string, step: Step): Step => {
    const name = nameOf(step);
    if (name === 'ensureOIDC') return openContext;
    const lean = hotRoutes.has(route) ? leaner(step) : step;
    return [settling, ...changed].reduce((last, table) => table[name]?.(last) ?? last, lean);
  };
  for (const method of methods) {
    const register = own[method];
    Router.prototype[method] = function (name: string, path: string, ...steps: Step[]) {
      return register.call(this, name, path, ...steps.map((step) => ours(name, step)));
    };
  }
  try {
    provider = build();
    return provider;
  } finally {
    Object.assign(Router.prototype, own);
  }
}

const pick = (prototype: Record<string, Register>) =>
  Object.fromEntries(methods.map((method) => [method, prototype[method]])) as Record<
    (typeof methods)[number],
    Register
  >;

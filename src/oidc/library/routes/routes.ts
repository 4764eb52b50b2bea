/**
 * Override of oidc-provider's routes. The library has no hook for a single step of an endpoint, and only the name of
 * a step identifies it. While a provider is built, the library's router is patched, so that each route is registered
 * with our steps:
 *
 * - The first step opens the request's scope (request_scope.ts). It also sets the library's context as a plain
 *   property. The library uses a getter for it, and then V8 keeps every request until the next full garbage
 *   collection.
 * - After the last step of a token request or an authorization, its writes are committed (token_commit.ts,
 *   models/pushed_request.ts).
 * - The steps named in `changed` are changed (changed_steps.ts, anonymous_forms.ts).
 * - The endpoints that apps and APIs call most often skip steps that do nothing for a plain request (lean_steps.ts).
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

/** Replacements of steps, by step name. */
export type ChangedSteps = Record<string, Change>;

/** The endpoints that apps and APIs call most often. */
const hotRoutes = new Set(['token', 'introspection', 'revocation']);

/** The last steps after which a request commits its writes. */
export const settling: ChangedSteps = {
  callTokenHandler: settleTokenRequest,
  respond: settlePushedRequest,
};

type Register = (this: unknown, name: string, path: string, ...steps: Step[]) => unknown;

const methods = ['get', 'post', 'put', 'delete', 'options'] as const;

/** Builds a provider with changed routes. If several tables change the same step, they are applied in order. */
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

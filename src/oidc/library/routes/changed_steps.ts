/**
 * Override of single steps of oidc-provider's routes, by their names. They add a default scope, accept equivalent
 * forms of an API's address, an empty `claims` and registrations with empty values, leave empty lists out of
 * discovery, and keep the bytes of the redirect after a sign-out. Each has a test over HTTP, which fails if a release
 * renames the step.
 */

import { errors, type ResourceServer } from 'oidc-provider';
import type { Resource } from '../../../config/schema.ts';
import type { Current } from '../../../lib/current.ts';
import { isIdentityScope } from '../../claims/scopes.ts';
import { withoutEmpty } from '../../clients/registration.ts';
import type { OnAsked } from '../../requests/ignored.ts';
import { refuseTooLarge } from '../../requests/parameter_size.ts';
import { seeOther, withParameters } from './response_modes.ts';
import type { ChangedSteps } from './routes.ts';
import type { Parameters, Step, StepContext } from './step.ts';

/** `onAsked` receives the requested scope of each request, before unknown scopes are removed. */
export function changedSteps(resources: Current<readonly Resource[]>, onAsked: OnAsked): ChangedSteps {
  return {
    assembleAuthorizationParams: (step) => (ctx, next) => {
      refuseTooLarge((ctx.method === 'POST' ? ctx.oidc.body : ctx.query) ?? {});
      return step(ctx, next);
    },
    checkScope: (step) => (ctx, next) => {
      const { params, client } = ctx.oidc;
      // Checked again, because a signed request may have added parameters.
      refuseTooLarge({ ...params, request: undefined });
      takeDeclared(params, resources.current());
      // RFC 6749, section 3.3: a request without `scope` gets the client's registered scope, or else a default.
      if (!params.scope) params.scope = client.scope ?? defaultScope(params, resources.current());
      return step(ctx, next);
    },
    checkResource: (step) => (ctx, next) => {
      const asked = String(ctx.oidc.params.scope ?? '');
      onAsked(ctx, asked);
      return step(ctx, () => {
        refuseNothing(ctx, asked);
        return next();
      });
    },
    checkClaims: (step) => (ctx, next) => {
      if (isEmptyObject(ctx.oidc.params.claims)) ctx.oidc.params.claims = undefined;
      return step(ctx, next);
    },
    // At the token endpoint, each grant checks its resources later, so this is done before the grant runs.
    stripGrantIrrelevantParams: (step) => (ctx, next) =>
      step(ctx, () => {
        takeDeclared(ctx.oidc.params, resources.current());
        if (ctx.oidc.params.grant_type === 'client_credentials')
          onAsked(ctx, String(ctx.oidc.params.scope ?? ''));
        return next();
      }),
    registrationResponse: withoutEmptyValues,
    discovery: (step) => async (ctx, next) => {
      await step(ctx, next);
      const body = ctx.body as Parameters;
      ctx.body = Object.fromEntries(
        Object.entries({
          ...body,
          request_uri_parameter_supported: true,
          require_request_uri_registration: true,
          // There are no CIBA user codes here. The person answers with a code of the second factor instead.
          ...(body.backchannel_user_code_parameter_supported === undefined
            ? {}
            : { backchannel_user_code_parameter_supported: false }),
        }).filter(([, value]) => !(Array.isArray(value) && value.length === 0)),
      );
    },
    endSession: (step) => async (ctx, next) => {
      const { state } = ctx.oidc.session as { state?: { postLogoutRedirectUri?: string; state?: string } };
      await step(ctx, next);
      const { postLogoutRedirectUri: uri, state: value } = state ?? {};
      if (uri !== undefined && ctx.status === 303)
        seeOther(ctx, withParameters(uri, value === undefined ? {} : { state: value }));
    },
  };
}

const withoutEmptyValues =
  (step: Step): Step =>
  (ctx, next) => {
    ctx.oidc.body = withoutEmpty(ctx.oidc.body);
    return step(ctx, next);
  };

/** Normalizes an address (RFC 3986, sections 6.2.2 and 6.2.3): case of scheme and host, default port, empty path. */
const normal = (uri: string): string => URL.parse(uri)?.href ?? uri;

/** Rewrites each `resource` to the form in which its API is declared, if the two are equivalent. */
function takeDeclared(params: Parameters, resources: readonly Resource[]): void {
  const { resource } = params;
  if (resource === undefined) return;
  const declared = (uri: unknown) =>
    resources.find(({ audience }) => audience === uri || normal(audience) === normal(String(uri)))
      ?.audience ?? uri;
  params.resource = Array.isArray(resource) ? resource.map(declared) : declared(resource);
}

/** All scopes of the requested APIs, or `openid` if they have none. */
function defaultScope({ resource }: Parameters, resources: readonly Resource[]): string {
  const asked = [resource].flat();
  const scopes = resources.flatMap(({ audience, scopes }) => (asked.includes(audience) ? scopes : []));
  return scopes.length > 0 ? [...new Set(scopes)].join(' ') : 'openid';
}

/**
 * Throws InvalidScope if none of the requested scopes is known. Otherwise the app would be authorized without
 * consent, and for nothing.
 */
function refuseNothing({ oidc }: StepContext, asked: string): void {
  if (!['authorization', 'pushed_authorization_request', 'device_authorization'].includes(oidc.route)) return;
  const scopes = String(oidc.params.scope ?? '').split(' ');
  const servers = Object.values(oidc.resourceServers ?? {}) as ResourceServer[];
  const known = scopes.some(
    (scope) => isIdentityScope(scope) || servers.some((server) => server.scope.split(' ').includes(scope)),
  );
  if (!known)
    throw new errors.InvalidScope(
      'none of the requested scopes is known: ask for openid, or name the API by resource',
      asked,
    );
}

function isEmptyObject(json: unknown): boolean {
  return typeof json === 'string' && /^\s*\{\s*\}\s*$/.test(json);
}

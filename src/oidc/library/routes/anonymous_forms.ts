/**
 * Override of four steps of oidc-provider's forms, for visitors who are not signed in. The library stores a session
 * for each visitor who opens a form, to keep the form's secret. So every GET by a stranger would store a row. Here a
 * cookie holds a random id that the secret is derived from, and nothing is stored. A visitor without a session has
 * nothing to end, and is not asked whether to sign out.
 */
import type { Context } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { keyedHash, randomId } from '../../../lib/crypto.ts';
import { seeOther, withParameters } from './response_modes.ts';
import type { ChangedSteps } from './routes.ts';
import type { StepContext } from './step.ts';

export interface AnonymousForms {
  steps: ChangedSteps;
  /**
   * The secret that this visitor's form must send back. Undefined if they are signed in: then the session keeps it.
   */
  secretOf(ctx: KoaContextWithOIDC): string | undefined;
}

interface FormCookie {
  name: string;
  secure: boolean;
}

const idForm = /^[\w-]{32}$/;

/** `key`: 32 bytes that the secrets are derived with. `name`: of the cookie. */
export function createAnonymousForms(key: Uint8Array, { name, secure }: FormCookie): AnonymousForms {
  const options = { httpOnly: true, sameSite: 'lax', secure, signed: false, overwrite: true } as const;
  const isAnonymous = (ctx: StepContext | KoaContextWithOIDC): boolean =>
    ctx.oidc.session?.accountId === undefined;
  const secretFrom = (id: string): string => keyedHash(key, id).toString('base64url');

  function idIn(ctx: Pick<Context, 'cookies' | 'state'>): string | undefined {
    const id = ctx.state.formId ?? ctx.cookies.get(name, { signed: false });
    return typeof id === 'string' && idForm.test(id) ? id : undefined;
  }

  function makeSecret(ctx: Pick<Context, 'cookies' | 'state'>): string {
    const id = idIn(ctx) ?? randomId(24);
    ctx.state.formId = id;
    ctx.cookies.set(name, id, options);
    return secretFrom(id);
  }

  /** Gives the session a state for this request only. Setting it in the usual way would make the library store it. */
  function lendState({ oidc }: StepContext, secret: string): void {
    const state = { value: { secret }, writable: true, configurable: true, enumerable: true };
    Object.defineProperty(oidc.session, 'state', state);
  }

  const steps: ChangedSteps = {
    generateXsrf: (step) => (ctx, next) => {
      if (!isAnonymous(ctx)) return step(ctx, next);
      if (ctx.oidc.route === 'code_verification') lendState(ctx, makeSecret(ctx));
      return next();
    },
    verifyXsrf: (step) => (ctx, next) => {
      if (!isAnonymous(ctx)) return step(ctx, next);
      if (ctx.oidc.route === 'end_session_confirm') return seeOther(ctx, signedOutPage(ctx));
      const id = idIn(ctx);
      if (id !== undefined) lendState(ctx, secretFrom(id));
      return step(ctx, next);
    },
    cleanup: (step) => (ctx, next) => {
      if (!isAnonymous(ctx)) return step(ctx, next);
      Reflect.deleteProperty(ctx.oidc.session ?? {}, 'state');
      return next();
    },
    renderLogout: (step) => (ctx, next) => {
      if (!isAnonymous(ctx)) return step(ctx, next);
      const { post_logout_redirect_uri: uri, state } = ctx.oidc.params as Record<string, string | undefined>;
      // The library has already checked that the app has registered this address.
      if (uri === undefined) return seeOther(ctx, signedOutPage(ctx));
      return seeOther(ctx, withParameters(uri, state === undefined ? {} : { state }));
    },
  };

  return { steps, secretOf: (ctx) => (isAnonymous(ctx) ? makeSecret(ctx) : undefined) };
}

const signedOutPage = ({ oidc }: StepContext): string => oidc.urlFor('end_session_success');

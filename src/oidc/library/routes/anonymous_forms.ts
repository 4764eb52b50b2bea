/**
 * Override of four steps of oidc-provider's forms, for visitors without a session. The library stores a session for whoever
 * opens a form, to keep its secret there: every GET of a stranger would be a row. Here a cookie keeps what the secret is made
 * from, and nothing is stored. Whoever has no session has nothing to end, and is not asked whether to sign out.
 */
import type { Context } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { keyedHash, randomId } from '../../../lib/crypto.ts';
import { seeOther, withParameters } from './response_modes.ts';
import type { ChangedSteps } from './routes.ts';
import type { StepContext } from './step.ts';

export interface AnonymousForms {
  steps: ChangedSteps;
  /** The secret that a form of this visitor has to bring back. Undefined for whoever has a session, which keeps it. */
  secretOf(ctx: KoaContextWithOIDC): string | undefined;
}

interface FormCookie {
  name: string;
  secure: boolean;
}

const idForm = /^[\w-]{32}$/;

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

  /** What is set in the usual way would have the session stored. */
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
      // Only one that the app has registered has come so far.
      if (uri === undefined) return seeOther(ctx, signedOutPage(ctx));
      return seeOther(ctx, withParameters(uri, state === undefined ? {} : { state }));
    },
  };

  return { steps, secretOf: (ctx) => (isAnonymous(ctx) ? makeSecret(ctx) : undefined) };
}

const signedOutPage = ({ oidc }: StepContext): string => oidc.urlFor('end_session_success');

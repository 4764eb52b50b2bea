/**
 * What a browser has proved so far, and the cookies that carry it. Every route of the interaction begins with this.
 */
import type { Context } from 'koa';
import type { Account, Accounts } from '../accounts/accounts.ts';
import type { Browser } from '../authentication/buckets.ts';
import type { Exchange } from '../authentication/exchange.ts';
import type { Proved, StepToken, StepTokens } from '../authentication/step_tokens.ts';
import { userAgentOf } from '../http/request.ts';
import { cookieNames } from '../lib/cookies.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Interactions, WaitingRequest } from '../oidc/interaction/interactions.ts';
import type { OpenedReset, ResetLinks } from './reset_links.ts';
import type { Proven } from './steps.ts';

/** What is known about the browser that sent a request. */
export interface Standing {
  waiting: WaitingRequest;
  step: StepToken | undefined;
  /** The account whose password was proved. If consent is asked for: the account that is signed in. */
  account: Account | undefined;
  proven: Proven;
  /** The opened link that allows this browser to replace the account's lost authenticator. */
  reset: OpenedReset | undefined;
}

export interface StandingDeps {
  interactions: Pick<Interactions, 'waiting'>;
  accounts: Pick<Accounts, 'byId'>;
  stepTokens: Pick<StepTokens, 'issue' | 'open'>;
  resetLinks: Pick<ResetLinks, 'opened' | 'cookie'>;
  secureCookies: boolean;
}

export interface Standings {
  /**
   * What is known about this browser. Throws AppError 400 `interaction_expired` if nothing waits in it under this
   * uid.
   */
  of(ctx: Context, uid: string): Promise<Standing>;
  /** Issues a step token to this browser. */
  begin(ctx: Context, uid: string, proved: Proved & { totpConfirmed: boolean }): Promise<void>;
  /**
   * Ends the login in this browser: sets the cookie of a known browser, and removes the step token. `keepStep`: keeps
   * it, so that the recovery codes can be shown again.
   */
  end(ctx: Context, uid: string, left: { known: string; keepStep?: boolean }): void;
  /** Takes the step token from this browser: the password has to be proved again. */
  forget(ctx: Context, uid: string): void;
  /** The browser, as the counts of failures need it. */
  browser(ctx: Context): Omit<Browser, 'sessionUid'>;
}

/** The exchange that a password is proved for here. */
export const exchangeOf = (uid: string): Exchange => ({ for: 'interaction', uid });

export function createStandings(deps: StandingDeps): Standings {
  const { interactions, accounts, stepTokens, resetLinks, secureCookies } = deps;
  const { step: stepCookie, device: knownCookie } = cookieNames(secureCookies);
  const base = {
    httpOnly: true,
    sameSite: 'lax',
    secure: secureCookies,
    signed: false,
    overwrite: true,
  } as const;
  const at = (uid: string) => ({ ...base, path: `/interaction/${uid}` });

  return {
    async of(ctx, uid) {
      const waiting = await interactions.waiting(ctx.req, ctx.res, uid);
      const step = await stepTokens.open(ctx.cookies.get(stepCookie), exchangeOf(uid));
      const id = waiting.prompt === 'consent' ? waiting.accountId : step?.accountId;
      const account = id === undefined ? undefined : await accounts.byId(id);
      const current = account !== undefined && account.credentialId === step?.credentialId;
      const mine = waiting.prompt === 'login' && current ? account : undefined;
      const opened = mine?.totpConfirmed ? await resetLinks.opened(ctx) : undefined;
      const reset = opened?.accountId === mine?.id ? opened : undefined;
      // The longer lifetime is only for the set-up of an authenticator.
      const isStale = mine?.totpConfirmed === true && !reset && step?.isFresh === false;
      const passwordOf = isStale ? undefined : mine;
      const replacesAuthenticator = reset !== undefined;
      return {
        waiting,
        step,
        account,
        reset,
        proven: { prompt: waiting.prompt, passwordOf, replacesAuthenticator },
      };
    },
    async begin(ctx, uid, { totpConfirmed, ...proved }) {
      const replaces = totpConfirmed && (await resetLinks.opened(ctx))?.accountId === proved.accountId;
      const seconds = totpConfirmed && !replaces ? lifeSeconds.stepToken : lifeSeconds.setUpToken;
      const token = await stepTokens.issue(proved, exchangeOf(uid), seconds);
      ctx.cookies.set(stepCookie, token, { ...at(uid), maxAge: seconds * 1000 });
    },
    end(ctx, uid, { known, keepStep = false }) {
      if (!keepStep) this.forget(ctx, uid);
      if (resetLinks.cookie.read(ctx) !== undefined) resetLinks.cookie.forget(ctx);
      ctx.cookies.set(knownCookie, known, { ...base, path: '/', maxAge: lifeSeconds.knownDevice * 1000 });
    },
    forget: (ctx, uid) => void ctx.cookies.set(stepCookie, null, at(uid)),
    browser: (ctx) => ({
      address: ctx.ip,
      agent: userAgentOf(ctx),
      known: ctx.cookies.get(knownCookie),
    }),
  };
}

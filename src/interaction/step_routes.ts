/**
 * Mounts the steps that the pages of an interaction post. Scripts and native apps are answered in JSON, a form with
 * the next page.
 */
import type { Context, Middleware } from 'koa';
import type { Browser } from '../authentication/buckets.ts';
import type { KnownBrowsers } from '../authentication/known_browsers.ts';
import type { Passwords } from '../authentication/password.ts';
import { stepRequired, wrongStep } from '../authentication/refusals.ts';
import type { Completed, SecondFactor } from '../authentication/second_factor.ts';
import type { SignUp } from '../authentication/sign_up.ts';
import type { Proved } from '../authentication/step_tokens.ts';
import { type Flow, type Action as FlowAction, seeOther } from '../http/flow.ts';
import { bodies, readBody } from '../http/forms.ts';
import type { AppError } from '../lib/errors.ts';
import type { Interactions } from '../oidc/interaction/interactions.ts';
import type { Invited } from './invited.ts';
import type { StepTold } from './outcomes.ts';
import type { Pages } from './pages.ts';
import { exchangeOf, type Standing, type Standings } from './standing.ts';
import { type Action, takes } from './steps.ts';

export interface StepRouteDeps {
  standings: Standings;
  pages: Pick<Pages, 'show'>;
  passwords: Pick<Passwords, 'loginInit' | 'loginFinish'>;
  signUp: SignUp;
  secondFactor: Pick<SecondFactor, 'setup' | 'confirm' | 'verify'>;
  invited: Pick<Invited, 'admit' | 'cookie'>;
  interactions: Pick<Interactions, 'finishLogin' | 'finishConsent' | 'chooseAccount'>;
  knownBrowsers: Pick<KnownBrowsers, 'remember'>;
  /** Sends the browser on after a form. `target`: where it arrives in the end. */
  moveOn(ctx: Context, to: { location: string; target: string }): void;
  /** Refuses work as expensive as OPAQUE while too much of it is in progress. */
  admission: Middleware;
  /** Counts the start of a login or sign-up against the client's address. */
  addressLimit: Middleware;
  /** Limits the starts of sign-ups per hour. */
  makingLimit: Middleware;
}

type StepFlow = Flow<Action, Standing, StepTold>;
type Work = FlowAction<Action, Standing, StepTold>['work'];
/** Mounts one step. */
type Step = (name: Action, work: Work, ...before: Middleware[]) => void;

export function mountSteps(flow: StepFlow, deps: StepRouteDeps): void {
  const { standings, pages } = deps;

  /** Shows the page of a posted form again, with the error beside its field. */
  async function again(ctx: Context, { waiting }: Standing, error: AppError): Promise<boolean> {
    if (!isForm(ctx) || error.code === 'temporarily_unavailable') return false;
    const standing = await standings.of(ctx, waiting.uid);
    const { publicMessage, retryAfterSeconds } = error;
    await pages.show(ctx, standing, {
      error: publicMessage,
      retryAfterSeconds,
      recovery: 'recovery' in ctx.query,
    });
    return true;
  }

  const step: Step = (name, work, ...before) =>
    flow.action(`/${name}`, {
      name,
      before,
      async work(ctx, standing) {
        if (!takes(standing.proven, name)) throw refusal(standing);
        return work(ctx, standing);
      },
      again,
    });

  mountPasswordSteps(step, deps);
  mountSecondFactorSteps(step, deps);
  step('consent', async (ctx, { waiting }) => {
    const { decision } = await readBody(ctx, bodies.consent);
    const location = await deps.interactions.finishConsent(ctx.req, ctx.res, decision === 'allow');
    goOn(deps, ctx, waiting.redirectUri, location);
    return { decision };
  });
  step('switch-account', async (ctx, { waiting }) => {
    if (waiting.prompt === 'consent') {
      const location = await deps.interactions.chooseAccount(ctx.req, ctx.res);
      goOn(deps, ctx, waiting.redirectUri, location);
    } else {
      standings.forget(ctx, waiting.uid);
      goOn(deps, ctx, waiting.redirectUri, `/interaction/${waiting.uid}/login`);
    }
    return {};
  });
}

/** The steps that prove a password or choose one. */
function mountPasswordSteps(step: Step, deps: StepRouteDeps): void {
  const { standings, passwords, signUp, invited, admission, addressLimit, makingLimit } = deps;

  async function begin(
    ctx: Context,
    { waiting }: Standing,
    proved: Proved & { totpConfirmed: boolean },
  ): Promise<StepTold> {
    await standings.begin(ctx, waiting.uid, proved);
    goOn(deps, ctx, waiting.redirectUri, `/interaction/${waiting.uid}`);
    return { accountId: proved.accountId };
  }

  step(
    'login/init',
    async (ctx, { waiting }) => {
      const { username, ke1 } = await readBody(ctx, bodies.loginInit);
      ctx.body = await passwords.loginInit(exchangeOf(waiting.uid), username, ke1, {
        ...standings.browser(ctx),
        session: waiting.session,
        clientId: waiting.client.id,
      });
      return {};
    },
    admission,
    addressLimit,
  );
  step('login/finish', async (ctx, standing) => {
    const { ke3 } = await readBody(ctx, bodies.loginFinish);
    return begin(ctx, standing, await passwords.loginFinish(exchangeOf(standing.waiting.uid), ke3));
  });
  step(
    'register/init',
    async (ctx, { waiting }) => {
      const { username, request } = await readBody(ctx, bodies.registerInit);
      await invited.admit(ctx, username);
      ctx.body = await signUp.init(waiting.uid, username, request);
      return {};
    },
    admission,
    addressLimit,
    makingLimit,
  );
  step('register/finish', async (ctx, standing) => {
    const given = await readBody(ctx, bodies.registerFinish);
    const invitation = await invited.admit(ctx, given.username);
    const proved = await signUp.finish(standing.waiting.uid, {
      ...given,
      email: given.email,
      invitation: invitation?.token,
    });
    if (invitation) invited.cookie.forget(ctx);
    const told = await begin(ctx, standing, { ...proved, totpConfirmed: false });
    return { ...told, invited: invitation !== undefined };
  });
}

/** The steps that set up an authenticator or verify its code. */
function mountSecondFactorSteps(step: Step, deps: StepRouteDeps): void {
  const { standings, secondFactor, interactions, knownBrowsers } = deps;

  const browserOf = (ctx: Context, { waiting: { session }, account }: Standing): Browser => ({
    ...standings.browser(ctx),
    sessionUid: session !== undefined && session.accountId === account?.id ? session.uid : undefined,
  });

  async function complete(
    ctx: Context,
    { waiting }: Standing,
    { account, amr, endedOthersAt }: Completed,
    keepStep = false,
  ): Promise<string> {
    const login = { accountId: account.id, amr, endedOthersAt };
    const location = await interactions.finishLogin(ctx.req, ctx.res, waiting, login);
    const known = knownBrowsers.remember(account.usernameKey, standings.browser(ctx).known);
    standings.end(ctx, waiting.uid, { known, keepStep });
    return location;
  }

  step('totp/setup', async (ctx, { waiting, account }) => {
    if (!account) throw stepRequired();
    const { secret, otpauthUri } = secondFactor.setup(waiting.uid, account);
    ctx.body = { secret, otpauth_uri: otpauthUri };
    return {};
  });
  step('totp/verify-setup', async (ctx, standing) => {
    const { waiting, account, step: proof, reset } = standing;
    if (!account || !proof) throw stepRequired();
    const { code } = await readBody(ctx, bodies.code);
    const browser = browserOf(ctx, standing);
    const set = { uid: waiting.uid, account, step: proof, code, browser, reset };
    const confirmed = await secondFactor.confirm(set);
    const location = await complete(ctx, standing, confirmed, isForm(ctx));
    if (isForm(ctx)) seeOther(ctx, `/interaction/${waiting.uid}/recovery-codes`);
    else ctx.body = { recovery_codes: confirmed.recoveryCodes, location };
    return { amr: confirmed.amr, again: confirmed.again };
  });
  step('totp/verify', async (ctx, standing) => {
    const { waiting, account, step: proof } = standing;
    if (!account || !proof) throw stepRequired();
    const { code } = await readBody(ctx, bodies.code);
    const completed = await secondFactor.verify(account, proof, code, browserOf(ctx, standing));
    goOn(deps, ctx, waiting.redirectUri, await complete(ctx, standing, completed));
    return { amr: completed.amr };
  });
}

const isForm = (ctx: Context): boolean => ctx.is('urlencoded') === 'urlencoded';

/** Tells a script where the interaction continues, or leads a form there. */
function goOn({ moveOn }: StepRouteDeps, ctx: Context, target: string, location: string): void {
  if (isForm(ctx)) moveOn(ctx, { location, target });
  else ctx.body = { location };
}

/** The error for a step in the wrong order. If the password was not proved, the person must enter it again. */
function refusal({ proven }: Standing): AppError {
  if (proven.prompt === 'login' && !proven.passwordOf) return stepRequired();
  return wrongStep();
}

/**
 * The interaction's routes: pages and JSON steps. Each step runs through one pipeline (origin, waiting request, the table
 * of steps), so that no route can forget a check; the work is done in authentication/.
 */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import type { Browser } from '../authentication/buckets.ts';
import type { KnownBrowsers } from '../authentication/known_browsers.ts';
import type { Passwords } from '../authentication/password.ts';
import { stepRequired, WrongPassword, wrongStep } from '../authentication/refusals.ts';
import type { Completed, SecondFactor } from '../authentication/second_factor.ts';
import type { SignUp } from '../authentication/sign_up.ts';
import type { Proved } from '../authentication/step_tokens.ts';
import { bodies, readBody } from '../http/forms.ts';
import { userAgentOf } from '../http/request.ts';
import { AppError, type ErrorCode, TooManyFailures } from '../lib/errors.ts';
import type { Interactions } from '../oidc/interaction/interactions.ts';
import type { Trail } from '../oidc/interaction/trail.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Invited } from './invited.ts';
import type { Pages } from './pages.ts';
import type { Standing, Standings } from './standing.ts';
import { type Action, stepOf, takes } from './steps.ts';

export interface RouteDeps {
  standings: Standings;
  pages: Pages;
  passwords: Pick<Passwords, 'loginInit' | 'loginFinish'>;
  signUp: SignUp;
  secondFactor: SecondFactor;
  invited: Pick<Invited, 'invitation' | 'admit' | 'cookie'>;
  interactions: Pick<Interactions, 'finishLogin' | 'finishConsent' | 'restart'>;
  signedIn(ctx: Context): Promise<SignedIn | undefined>;
  trail: Pick<Trail, 'read'>;
  knownBrowsers: Pick<KnownBrowsers, 'remember'>;
  sameOriginOnly: Middleware;
  /** Sends the browser on after a form; `target`: where that ends. */
  moveOn(ctx: Context, to: { location: string; target: string }): void;
  /** Counts the start of a login or sign-up against the client's address. */
  addressLimit: Middleware;
  /** Counts the start of a sign-up, by the hour. */
  makingLimit: Middleware;
  /** Told how every step ended, for the audit log and the metrics. */
  onOutcome(outcome: StepOutcome): void;
}

export interface StepOutcome {
  step: Action;
  outcome: 'ok' | ErrorCode;
  clientId: string;
  address: string;
  /** What the browser calls itself. */
  agent: string;
  /** The account that the step was about, where that is proved. */
  accountId: string | undefined;
  /** How a completed login happened (RFC 8176); undefined for all other steps. */
  amr?: string[];
  /** True of an account that was made by an invitation. */
  invited?: boolean;
  /** True of a set-up whose answer was lost, and that is answered again. */
  again?: boolean;
  /** What was answered to the consent page. */
  decision?: 'allow' | 'deny';
  /** Which count of failures has refused it. */
  blockedBy?: string | undefined;
}

export function createInteractionRoutes(deps: RouteDeps): Middleware {
  const { standings, pages, passwords, signUp, secondFactor, invited, interactions, knownBrowsers } = deps;
  const router = new Router({ prefix: '/interaction/:uid' });

  const uidOf = (ctx: Context): string => String(ctx.params.uid);
  const exchangeOf = (ctx: Context) => ({ for: 'interaction', uid: uidOf(ctx) }) as const;
  const browserOf = (ctx: Context, { waiting: { session }, account }: Standing): Browser => ({
    ...standings.browser(ctx),
    sessionUid: session !== undefined && session.accountId === account?.id ? session.uid : undefined,
  });
  const isForm = (ctx: Context): boolean => ctx.is('urlencoded') === 'urlencoded';

  function seeOther(ctx: Context, location: string): void {
    ctx.redirect(location);
    ctx.status = 303;
  }

  /** One page: shown where its sign-in waits in this browser, or else where that has gone on. */
  function page(path: string, show: (ctx: Context, standing: Standing) => Promise<void>): void {
    router.get(path, async (ctx) => {
      ctx.set('Cache-Control', 'no-store');
      const standing = await standings.of(ctx, uidOf(ctx)).catch(orExpired);
      if (standing instanceof AppError) return follow(ctx, standing);
      const { waiting, step: proof } = standing;
      const { answered, begunSignedOut, prompt, returnTo } = waiting;
      // Whoever has just set an authenticator up has recovery codes to see first.
      if (answered && proof && (await secondFactor.hasConfirmed(proof)))
        return seeOther(ctx, `/interaction/${waiting.uid}/recovery-codes`);
      // Another tab has signed in meanwhile, or the answer to the last step was lost.
      const goesOn =
        answered || (prompt === 'login' && begunSignedOut && !proof && (await deps.signedIn(ctx)));
      if (goesOn) seeOther(ctx, returnTo);
      else await show(ctx, standing);
    });
  }

  /** To where a sign-in has gone on that does not wait at this address any more. */
  async function follow(ctx: Context, expired: AppError): Promise<void> {
    const restart = await interactions.restart(expired, uidOf(ctx));
    if (restart !== undefined) return seeOther(ctx, restart);
    const onward = deps.trail.read(ctx);
    if (onward && 'uid' in onward) return seeOther(ctx, `/interaction/${onward.uid}`);
    const who = onward && (await deps.signedIn(ctx));
    if (!who) throw expired;
    await pages.showFinished(ctx, who.account, onward.clientId);
  }

  // Shown by GET, so that they are still there after a reload.
  router.get('/recovery-codes', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const standing = await standings.of(ctx, uidOf(ctx)).catch(orExpired);
    if (standing instanceof AppError) return follow(ctx, standing);
    const codes = standing.step && (await secondFactor.recoveryCodesOf(standing.step));
    if (codes) pages.showRecoveryCodes(ctx, standing, codes, standing.waiting.returnTo);
    else seeOther(ctx, `/interaction/${uidOf(ctx)}`);
  });

  page('/', async (ctx, standing) => {
    const signsUp = standing.waiting.promptName === 'create' || (await invited.invitation(ctx)) !== undefined;
    if (signsUp && stepOf(standing.proven) === 'login') await pages.showRegister(ctx, standing);
    else await pages.show(ctx, standing);
  });
  page('/login', (ctx, standing) => pages.show(ctx, standing));
  page('/recovery', (ctx, standing) => pages.show(ctx, standing, { recovery: true }));
  page('/register', (ctx, standing) => pages.showRegister(ctx, standing));

  /** One step: allowed at this point, done, answered as the asker reads it. */
  function step(
    action: Action,
    work: (ctx: Context, standing: Standing) => Promise<object>,
    ...before: Middleware[]
  ) {
    // Whoever opens the address of a form that was shown again, with its error, is led to the page.
    router.get(`/${action}`, (ctx) => seeOther(ctx, `/interaction/${uidOf(ctx)}`));
    router.post(`/${action}`, deps.sameOriginOnly, ...before, async (ctx) => {
      ctx.set('Cache-Control', 'no-store');
      const standing = await standings.of(ctx, uidOf(ctx));
      const told = (outcome: StepOutcome['outcome'], failed?: unknown) =>
        deps.onOutcome({
          step: action,
          outcome,
          blockedBy: failed instanceof TooManyFailures ? failed.bucket : undefined,
          clientId: standing.waiting.client.id,
          address: ctx.ip,
          agent: userAgentOf(ctx),
          accountId:
            failed instanceof WrongPassword
              ? failed.accountId
              : (ctx.state.accountId ?? standing.account?.id),
          amr: ctx.state.amr,
          invited: ctx.state.invited,
          again: ctx.state.again,
          decision: ctx.state.decision,
        });
      try {
        if (!takes(standing.proven, action)) throw refusal(standing);
        const answer = await work(ctx, standing);
        told('ok');
        if (ctx.body === undefined) respond(ctx, answer, standing);
      } catch (error) {
        told(error instanceof AppError ? error.code : 'server_error', error);
        if (!isForm(ctx) || !(error instanceof AppError) || error.code === 'temporarily_unavailable')
          throw error;
        await showAgain(ctx, error);
      }
    });
  }

  function respond(ctx: Context, answer: object, { waiting }: Standing): void {
    if (isForm(ctx) && 'location' in answer)
      deps.moveOn(ctx, { location: String(answer.location), target: waiting.redirectUri });
    else ctx.body = answer;
  }

  /** A page that posted a form is shown again, with the error beside the field. */
  async function showAgain(ctx: Context, error: AppError): Promise<void> {
    const standing = await standings.of(ctx, uidOf(ctx));
    await pages.show(ctx, standing, { error: error.publicMessage, recovery: 'recovery' in ctx.query });
    ctx.status = error.status;
    if (error.retryAfterSeconds) ctx.set('Retry-After', String(error.retryAfterSeconds));
  }

  async function complete(
    ctx: Context,
    { waiting }: Standing,
    completed: Completed,
    keepStep = false,
  ): Promise<string> {
    const { account, amr, endedOthersAt } = completed;
    const login = { accountId: account.id, amr, endedOthersAt };
    const location = await interactions.finishLogin(ctx.req, ctx.res, waiting, login);
    ctx.state.amr = amr;
    const known = knownBrowsers.remember(account.usernameKey, standings.browser(ctx).known);
    standings.end(ctx, uidOf(ctx), { known, keepStep });
    return location;
  }

  const begun = async (ctx: Context, proved: Proved & { totpConfirmed: boolean }) => {
    ctx.state.accountId = proved.accountId;
    await standings.begin(ctx, uidOf(ctx), proved);
    return { location: `/interaction/${uidOf(ctx)}` };
  };

  step(
    'login/init',
    async (ctx, standing) => {
      const { username, ke1 } = await readBody(ctx, bodies.loginInit);
      return passwords.loginInit(exchangeOf(ctx), username, ke1, {
        ...standings.browser(ctx),
        session: standing.waiting.session,
        clientId: standing.waiting.client.id,
      });
    },
    deps.addressLimit,
  );
  step('login/finish', async (ctx) => {
    const { ke3 } = await readBody(ctx, bodies.loginFinish);
    return begun(ctx, await passwords.loginFinish(exchangeOf(ctx), ke3));
  });
  step(
    'register/init',
    async (ctx) => {
      const { username, request } = await readBody(ctx, bodies.registerInit);
      await invited.admit(ctx, username);
      return signUp.init(uidOf(ctx), username, request);
    },
    deps.addressLimit,
    deps.makingLimit,
  );
  step('register/finish', async (ctx) => {
    const { username, record, email } = await readBody(ctx, bodies.registerFinish);
    const invitation = await invited.admit(ctx, username);
    const proved = await signUp.finish(uidOf(ctx), {
      username,
      record,
      email,
      invitation: invitation?.token,
    });
    ctx.state.invited = invitation !== undefined;
    if (invitation) invited.cookie.forget(ctx);
    return begun(ctx, { ...proved, totpConfirmed: false });
  });
  step('totp/setup', async (ctx, standing) => {
    if (!standing.account) throw stepRequired();
    const { secret, otpauthUri } = secondFactor.setup(uidOf(ctx), standing.account);
    return { secret, otpauth_uri: otpauthUri };
  });
  step('totp/verify-setup', async (ctx, standing) => {
    const { account, step: proof } = standing;
    if (!account || !proof) throw stepRequired();
    const { code } = await readBody(ctx, bodies.code);
    const confirmed = await secondFactor.confirm({
      uid: uidOf(ctx),
      account,
      step: proof,
      code,
      browser: browserOf(ctx, standing),
      reset: standing.reset,
    });
    ctx.state.again = confirmed.again;
    const location = await complete(ctx, standing, confirmed, isForm(ctx));
    if (isForm(ctx)) {
      seeOther(ctx, `/interaction/${uidOf(ctx)}/recovery-codes`);
      ctx.body = '';
    }
    return { recovery_codes: confirmed.recoveryCodes, location };
  });
  step('totp/verify', async (ctx, standing) => {
    const { account, step: proof } = standing;
    if (!account || !proof) throw stepRequired();
    const { code } = await readBody(ctx, bodies.code);
    const completed = await secondFactor.verify(account, proof, code, browserOf(ctx, standing));
    return { location: await complete(ctx, standing, completed) };
  });
  step('consent', async (ctx) => {
    const { decision } = await readBody(ctx, bodies.consent);
    ctx.state.decision = decision;
    return { location: await interactions.finishConsent(ctx.req, ctx.res, decision === 'allow') };
  });

  return router.routes() as Middleware;
}

function orExpired(error: unknown): AppError {
  if (error instanceof AppError && error.code === 'interaction_expired') return error;
  throw error;
}

/** A step out of turn: without the password's proof it is asked for; otherwise the order is wrong. */
function refusal({ proven }: Standing): AppError {
  if (proven.prompt === 'login' && !proven.passwordOf) return stepRequired();
  return wrongStep();
}

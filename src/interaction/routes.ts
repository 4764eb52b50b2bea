/**
 * The interaction's routes: pages and JSON steps. Each step runs through one pipeline (origin, waiting request, the table
 * of steps), so that no route can forget a check; the work is done in password.ts and second_factor.ts.
 */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import { bodies, readBody } from '../http/forms.ts';
import { userAgentOf } from '../http/request.ts';
import { AppError, type ErrorCode, TooManyFailures } from '../lib/errors.ts';
import type { Interactions } from '../oidc/interactions.ts';
import type { Proved } from '../tokens/steps.ts';
import type { Browser } from './buckets.ts';
import type { Devices } from './devices.ts';
import type { Invited } from './invited.ts';
import type { Pages } from './pages.ts';
import { type Passwords, WrongPassword } from './password.ts';
import { type Completed, type SecondFactor, stepRequired, wrongStep } from './second_factor.ts';
import type { Standing, Standings } from './standing.ts';
import { type Action, stepOf, takes } from './steps.ts';

export interface RouteDeps {
  standings: Standings;
  pages: Pages;
  passwords: Passwords;
  secondFactor: SecondFactor;
  invited: Pick<Invited, 'invitation' | 'admit' | 'cookie'>;
  interactions: Pick<Interactions, 'finishLogin' | 'finishConsent'>;
  devices: Pick<Devices, 'remember'>;
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
  const { standings, pages, passwords, secondFactor, invited, interactions, devices } = deps;
  const router = new Router({ prefix: '/interaction/:uid' });

  const uidOf = (ctx: Context): string => String(ctx.params.uid);
  const browserOf = (ctx: Context, { waiting: { session }, account }: Standing): Browser => ({
    ...standings.browser(ctx),
    sessionUid: session !== undefined && session.accountId === account?.id ? session.uid : undefined,
  });
  const isForm = (ctx: Context): boolean => ctx.is('urlencoded') === 'urlencoded';

  router.get('/', async (ctx) => {
    const standing = await standings.of(ctx, uidOf(ctx));
    const signsUp = standing.waiting.promptName === 'create' || (await invited.invitation(ctx)) !== undefined;
    if (signsUp && stepOf(standing.proven) === 'login') await pages.showRegister(ctx, standing);
    else await pages.show(ctx, standing);
  });
  router.get('/login', async (ctx) => pages.show(ctx, await standings.of(ctx, uidOf(ctx))));
  router.get('/recovery', async (ctx) =>
    pages.show(ctx, await standings.of(ctx, uidOf(ctx)), { recovery: true }),
  );
  router.get('/register', async (ctx) => pages.showRegister(ctx, await standings.of(ctx, uidOf(ctx))));

  /** One step: allowed at this point, done, answered as the asker reads it. */
  function step(
    action: Action,
    work: (ctx: Context, standing: Standing) => Promise<object>,
    ...before: Middleware[]
  ) {
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

  async function complete(ctx: Context, { waiting }: Standing, completed: Completed): Promise<string> {
    const { account, amr, endedOthersAt } = completed;
    const login = { accountId: account.id, amr, endedOthersAt };
    const location = await interactions.finishLogin(ctx.req, ctx.res, waiting, login);
    ctx.state.amr = amr;
    standings.end(ctx, uidOf(ctx), devices.remember(account.usernameKey, standings.device(ctx)));
    return location;
  }

  const begun = async (ctx: Context, proved: Proved) => {
    ctx.state.accountId = proved.accountId;
    await standings.begin(ctx, uidOf(ctx), proved);
    return { location: `/interaction/${uidOf(ctx)}` };
  };

  step(
    'login/init',
    async (ctx, standing) => {
      const { username, ke1 } = await readBody(ctx, bodies.loginInit);
      return passwords.loginInit(uidOf(ctx), username, ke1, {
        ...standings.browser(ctx),
        session: standing.waiting.session,
        step: 'login/init',
        clientId: standing.waiting.client.id,
      });
    },
    deps.addressLimit,
  );
  step('login/finish', async (ctx) => {
    const { ke3 } = await readBody(ctx, bodies.loginFinish);
    return begun(ctx, await passwords.loginFinish(uidOf(ctx), ke3));
  });
  step(
    'register/init',
    async (ctx) => {
      const { username, request } = await readBody(ctx, bodies.registerInit);
      await invited.admit(ctx, username);
      return passwords.registerInit(uidOf(ctx), username, request);
    },
    deps.addressLimit,
    deps.makingLimit,
  );
  step('register/finish', async (ctx) => {
    const { username, record, email } = await readBody(ctx, bodies.registerFinish);
    const invitation = await invited.admit(ctx, username);
    const proved = await passwords.registerFinish(uidOf(ctx), username, record, email, invitation?.token);
    ctx.state.invited = invitation !== undefined;
    if (invitation) invited.cookie.forget(ctx);
    return begun(ctx, proved);
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
    const location = await complete(ctx, standing, confirmed);
    if (isForm(ctx)) pages.showRecoveryCodes(ctx, standing, confirmed.recoveryCodes, location);
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

/** A step out of turn: without the password's proof it is asked for; otherwise the order is wrong. */
function refusal({ proven }: Standing): AppError {
  if (proven.prompt === 'login' && !proven.passwordOf) return stepRequired();
  return wrongStep();
}

/**
 * The routes for the change of a password, an authenticator or recovery codes. Each kind of change has a page and
 * actions. The page asks for the proof until this browser has given it. The actions are refused without it.
 */
import type { Context, Middleware } from 'koa';
import { proofRequired } from '../authentication/refusals.ts';
import type { StepToken } from '../authentication/step_tokens.ts';
import type { StepUp } from '../authentication/step_up.ts';
import { type Action, seeOther } from '../http/flow.ts';
import { bodies, readBody } from '../http/forms.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Totp } from '../totp/totp.ts';
import { type BrowserCookies, newCodesPath } from './browser_cookies.ts';
import { type Change, exchangeOf, changes as kinds, secondsOf } from './change_kinds.ts';
import type { Changes, NewCodes } from './changes.ts';
import type { AccountAction, AccountTold } from './outcomes.ts';
import type { Pipeline } from './pipeline.ts';

export interface ChangeRouteDeps {
  stepUp: StepUp;
  changes: Changes;
  totp: Pick<Totp, 'qrCode'>;
  recoveryCodesLeft(accountId: string): Promise<number>;
  cookies: BrowserCookies;
  /** Refuses work as expensive as OPAQUE while too much of it is in progress. */
  admission: Middleware;
  /** Counts the start of a proof against the client's address, together with the starts of logins. */
  addressLimit: Middleware;
}

type Proved<T> = (ctx: Context, who: SignedIn, proof: StepToken) => Promise<T>;
type Work = Action<AccountAction, SignedIn, AccountTold>['work'];

/** Finds the proof that this browser has given for a change, and guards the change's page and actions with it. */
function createProofGate({ page, show }: Pipeline, { stepUp, cookies }: ChangeRouteDeps) {
  const proofOf = (ctx: Context, who: SignedIn, change: Change) =>
    stepUp.open(who, exchangeOf(who, change), cookies.proof(ctx));
  const gate = {
    proofOf,
    showConfirm: (ctx: Context, { account }: SignedIn, change: Change) =>
      show(ctx, 'account_confirm', { change, username: account.username }),
    changePage(change: Change, work: Proved<void>): void {
      page(`/${change}`, async (ctx, who) => {
        const proof = await proofOf(ctx, who, change);
        if (proof) await work(ctx, who, proof);
        else gate.showConfirm(ctx, who, change);
      });
    },
    withProof:
      (change: Change, work: Proved<AccountTold>): Work =>
      async (ctx, who) => {
        const proof = await proofOf(ctx, who, change);
        if (!proof) throw proofRequired();
        return work(ctx, who, proof);
      },
  };
  return gate;
}

type ProofGate = ReturnType<typeof createProofGate>;

export function mountChanges(pipeline: Pipeline, deps: ChangeRouteDeps): void {
  const gate = createProofGate(pipeline, deps);
  mountNewCodes(pipeline, deps);
  for (const change of kinds) mountProof(pipeline, deps, change);
  mountPassword(pipeline, gate, deps);
  mountAuthenticator(pipeline, gate, deps);
  mountRecoveryCodes(pipeline, gate, deps);
}

/** Shows new recovery codes by GET, so that a reload shows them again. */
function mountNewCodes({ page, show }: Pipeline, { stepUp, changes, cookies }: ChangeRouteDeps): void {
  page('/new-codes', async (ctx, who) => {
    for (const change of kinds) {
      const proof = await stepUp.open(who, exchangeOf(who, change), cookies.spentProof(ctx));
      const codes = proof && (await changes.recoveryCodesOf(who, proof));
      const form = { action: '/account', method: 'get' } as const;
      if (codes) return show(ctx, 'recovery_codes', { codes, form, replacing: true });
    }
    seeOther(ctx, '/account');
  });
}

function toNewCodes(
  { cookies }: ChangeRouteDeps,
  ctx: Context,
  change: Change,
  { again }: NewCodes,
): AccountTold {
  const token = cookies.proof(ctx);
  cookies.dropProof(ctx);
  if (token !== undefined) cookies.keepSpentProof(ctx, token, secondsOf(change));
  seeOther(ctx, newCodesPath);
  return again ? { detail: { again } } : {};
}

function mountProof(
  { action }: Pipeline,
  { stepUp, cookies, admission, addressLimit }: ChangeRouteDeps,
  change: Change,
): void {
  action(`/${change}/proof/init`, {
    name: 'proof/init',
    before: [admission, addressLimit],
    async work(ctx, who) {
      const { ke1 } = await readBody(ctx, bodies.proofInit);
      const browser = cookies.browser(ctx, who.sessionUid);
      ctx.body = await stepUp.init(who, exchangeOf(who, change), ke1, browser);
      return {};
    },
  });
  action(`/${change}/proof/finish`, {
    name: 'proof/finish',
    async work(ctx, who) {
      const seconds = secondsOf(change);
      const given = { ...(await readBody(ctx, bodies.proofFinish)), seconds };
      const browser = cookies.browser(ctx, who.sessionUid);
      const { token, factor } = await stepUp.finish(who, exchangeOf(who, change), given, browser);
      cookies.keepProof(ctx, token, seconds);
      ctx.body = { location: `/account/${change}` };
      return { detail: { change, factor } };
    },
  });
}

function mountPassword({ action, show }: Pipeline, gate: ProofGate, deps: ChangeRouteDeps): void {
  const { changes, cookies, admission } = deps;
  gate.changePage('password', async (ctx, { account }) =>
    show(ctx, 'account_password', { username: account.username }),
  );
  action('/password/init', {
    name: 'password/init',
    before: [admission],
    work: gate.withProof('password', async (ctx, _who, proof) => {
      const { request } = await readBody(ctx, bodies.passwordInit);
      ctx.body = await changes.passwordInit(proof, request);
      return {};
    }),
  });
  action('/password/finish', {
    name: 'password/finish',
    work: gate.withProof('password', async (ctx, who, proof) => {
      const { record } = await readBody(ctx, bodies.passwordFinish);
      await changes.passwordFinish(who, proof, record, ctx.ip);
      cookies.dropSession(ctx);
      ctx.body = { location: '/account/signed-out' };
      return {};
    }),
  });
}

function mountAuthenticator({ action, show }: Pipeline, gate: ProofGate, deps: ChangeRouteDeps): void {
  const { changes, cookies, totp } = deps;
  async function showSetup(ctx: Context, who: SignedIn, proof: StepToken, error?: string): Promise<void> {
    const setup = changes.authenticatorSetup(who, proof);
    const qrSvg = await totp.qrCode(setup.otpauthUri);
    const { username } = who.account;
    const form = { action: '/account/authenticator', replacing: true, cancel: '/account' };
    show(ctx, 'totp_setup', { ...form, username, ...setup, qrSvg, error });
  }
  gate.changePage('authenticator', showSetup);
  action('/authenticator', {
    name: 'authenticator',
    work: gate.withProof('authenticator', async (ctx, who, proof) => {
      const { code } = await readBody(ctx, bodies.code);
      const browser = cookies.browser(ctx, who.sessionUid);
      const codes = await changes.authenticator(who, proof, code, browser);
      return toNewCodes(deps, ctx, 'authenticator', codes);
    }),
    async again(ctx, who, error) {
      const proof = await gate.proofOf(ctx, who, 'authenticator');
      if (error.code === 'proof_required' || !proof) gate.showConfirm(ctx, who, 'authenticator');
      else await showSetup(ctx, who, proof, error.publicMessage);
      return true;
    },
  });
}

function mountRecoveryCodes({ action, show }: Pipeline, gate: ProofGate, deps: ChangeRouteDeps): void {
  gate.changePage('recovery-codes', async (ctx, { account }) =>
    show(ctx, 'account_recovery_codes', { left: await deps.recoveryCodesLeft(account.id) }),
  );
  action('/recovery-codes', {
    name: 'recovery-codes',
    work: gate.withProof('recovery-codes', async (ctx, who, proof) =>
      toNewCodes(deps, ctx, 'recovery-codes', await deps.changes.recoveryCodes(who, proof)),
    ),
    async again(ctx, who, error) {
      if (error.code !== 'proof_required') return false;
      gate.showConfirm(ctx, who, 'recovery-codes');
      return true;
    },
  });
}

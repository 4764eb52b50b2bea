/**
 * The routes by which a person changes their password, authenticator or recovery codes. Each kind of change has a page,
 * which asks for the proof until this browser has given it, and actions that are refused without it.
 */
import type { Context, Middleware } from 'koa';
import { proofRequired } from '../authentication/refusals.ts';
import type { StepToken } from '../authentication/step_tokens.ts';
import type { StepUp } from '../authentication/step_up.ts';
import { bodies, readBody } from '../http/forms.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Totp } from '../totp/totp.ts';
import { type BrowserCookies, newCodesPath } from './browser_cookies.ts';
import { type Change, exchangeOf, changes as kinds, secondsOf } from './change_kinds.ts';
import type { Changes, NewCodes } from './changes.ts';
import type { Action, Pipeline, Told } from './pipeline.ts';

export interface ChangeRouteDeps {
  stepUp: StepUp;
  changes: Changes;
  totp: Pick<Totp, 'qrCode'>;
  recoveryCodesLeft(accountId: string): Promise<number>;
  cookies: BrowserCookies;
  /** Counts the start of a proof against the client's address, with the starts of logins. */
  addressLimit: Middleware;
}

type Proved<T = void> = (ctx: Context, who: SignedIn, proof: StepToken) => Promise<T>;

export function mountChanges({ page, action, show, seeOther }: Pipeline, deps: ChangeRouteDeps): void {
  const { stepUp, changes, cookies } = deps;
  const proofOf = (ctx: Context, who: SignedIn, change: Change) =>
    stepUp.open(who, exchangeOf(who, change), cookies.proof(ctx));

  const showConfirm = (ctx: Context, { account }: SignedIn, change: Change) =>
    show(ctx, 'account_confirm', { change, username: account.username });

  async function showSetup(ctx: Context, who: SignedIn, proof: StepToken, error?: string): Promise<void> {
    const setup = changes.authenticatorSetup(who, proof);
    const qrSvg = await deps.totp.qrCode(setup.otpauthUri);
    const { username } = who.account;
    const form = { action: '/account/authenticator', replacing: true, cancel: '/account' };
    show(ctx, 'totp_setup', { ...form, username, ...setup, qrSvg, error });
  }

  /** Shown by GET, so that they are still there after a reload. */
  function toCodes(ctx: Context, change: Change, { again }: NewCodes): Told | undefined {
    const token = cookies.proof(ctx);
    cookies.dropProof(ctx);
    if (token !== undefined) cookies.keepSpentProof(ctx, token, secondsOf(change));
    seeOther(ctx, newCodesPath);
    return again ? { detail: { again } } : undefined;
  }
  page('/new-codes', async (ctx, who) => {
    for (const change of kinds) {
      const proof = await stepUp.open(who, exchangeOf(who, change), cookies.spentProof(ctx));
      const codes = proof && (await changes.recoveryCodesOf(who, proof));
      if (codes) return show(ctx, 'recovery_codes', { codes, location: '/account', replacing: true });
    }
    seeOther(ctx, '/account');
  });

  function changePage(change: Change, work: Proved): void {
    page(`/${change}`, async (ctx, who) => {
      const proof = await proofOf(ctx, who, change);
      if (proof) await work(ctx, who, proof);
      else showConfirm(ctx, who, change);
    });
  }

  const withProof =
    (change: Change, work: Proved | Proved<Told | undefined>): Action['work'] =>
    async (ctx, who) => {
      const proof = await proofOf(ctx, who, change);
      if (!proof) throw proofRequired();
      return (await work(ctx, who, proof)) ?? undefined;
    };

  for (const change of kinds) {
    action(`/${change}/proof/init`, {
      name: 'proof/init',
      before: [deps.addressLimit],
      async work(ctx, who) {
        const { ke1 } = await readBody(ctx, bodies.proofInit);
        ctx.body = await stepUp.init(who, exchangeOf(who, change), ke1, cookies.browser(ctx, who.sessionUid));
        return undefined;
      },
    });
    action(`/${change}/proof/finish`, {
      name: 'proof/finish',
      async work(ctx, who) {
        const given = await readBody(ctx, bodies.proofFinish);
        const { token, factor } = await stepUp.finish(
          who,
          exchangeOf(who, change),
          { ...given, seconds: secondsOf(change) },
          cookies.browser(ctx, who.sessionUid),
        );
        cookies.keepProof(ctx, token, secondsOf(change));
        ctx.body = { location: `/account/${change}` };
        return { detail: { change, factor } };
      },
    });
  }

  changePage('password', async (ctx, { account }) =>
    show(ctx, 'account_password', { username: account.username }),
  );
  action('/password/init', {
    name: 'password/init',
    work: withProof('password', async (ctx, _who, proof) => {
      const { request } = await readBody(ctx, bodies.passwordInit);
      ctx.body = await changes.passwordInit(proof, request);
    }),
  });
  action('/password/finish', {
    name: 'password/finish',
    work: withProof('password', async (ctx, who, proof) => {
      const { record } = await readBody(ctx, bodies.passwordFinish);
      await changes.passwordFinish(who, proof, record, ctx.ip);
      cookies.dropSession(ctx);
      ctx.body = { location: '/account/signed-out' };
    }),
  });

  changePage('authenticator', showSetup);
  action('/authenticator', {
    name: 'authenticator',
    work: withProof('authenticator', async (ctx, who, proof) => {
      const { code } = await readBody(ctx, bodies.code);
      return toCodes(
        ctx,
        'authenticator',
        await changes.authenticator(who, proof, code, cookies.browser(ctx, who.sessionUid)),
      );
    }),
    async again(ctx, who, error) {
      const proof = await proofOf(ctx, who, 'authenticator');
      if (error.code === 'proof_required' || !proof) showConfirm(ctx, who, 'authenticator');
      else await showSetup(ctx, who, proof, error.publicMessage);
      return true;
    },
  });

  changePage('recovery-codes', async (ctx, { account }) =>
    show(ctx, 'account_recovery_codes', { left: await deps.recoveryCodesLeft(account.id) }),
  );
  action('/recovery-codes', {
    name: 'recovery-codes',
    work: withProof('recovery-codes', async (ctx, who, proof) =>
      toCodes(ctx, 'recovery-codes', await changes.recoveryCodes(who, proof)),
    ),
    async again(ctx, who, error) {
      if (error.code !== 'proof_required') return false;
      showConfirm(ctx, who, 'recovery-codes');
      return true;
    },
  });
}

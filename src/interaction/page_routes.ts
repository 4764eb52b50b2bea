/**
 * Mounts the pages of an interaction, each at its own address. If the sign-in has moved on, the browser is redirected
 * after it.
 */
import type { Context } from 'koa';
import type { SecondFactor } from '../authentication/second_factor.ts';
import { type Flow, seeOther } from '../http/flow.ts';
import { AppError } from '../lib/errors.ts';
import type { Interactions } from '../oidc/interaction/interactions.ts';
import type { Trail } from '../oidc/interaction/trail.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Invited } from './invited.ts';
import type { StepTold } from './outcomes.ts';
import type { Pages } from './pages.ts';
import type { Standing, Standings } from './standing.ts';
import { type Action, stepOf } from './steps.ts';

export interface PageRouteDeps {
  standings: Pick<Standings, 'of'>;
  pages: Pages;
  secondFactor: Pick<SecondFactor, 'hasConfirmed' | 'recoveryCodesOf'>;
  invited: Pick<Invited, 'invitation'>;
  interactions: Pick<Interactions, 'restart'>;
  signedIn(ctx: Context): Promise<SignedIn | undefined>;
  trail: Pick<Trail, 'read'>;
  /** Sends the browser on after a form. `target`: where it arrives in the end. */
  moveOn(ctx: Context, to: { location: string; target: string }): void;
}

/**
 * The interaction that waits in this browser under this uid. If it has moved on, the request is answered here and the
 * result is undefined. Throws AppError 400 `interaction_expired` if the browser can be sent nowhere.
 */
export async function waitingOr(
  deps: PageRouteDeps,
  ctx: Context,
  uid: string,
): Promise<Standing | undefined> {
  const standing = await deps.standings.of(ctx, uid).catch(orExpired);
  if (!(standing instanceof AppError)) return standing;
  const restart = await deps.interactions.restart(standing, uid);
  const onward = restart === undefined ? deps.trail.read(ctx) : undefined;
  if (restart !== undefined) seeOther(ctx, restart);
  else if (onward && 'uid' in onward) seeOther(ctx, `/interaction/${onward.uid}`);
  else {
    const who = onward && (await deps.signedIn(ctx));
    if (!who) throw standing;
    await deps.pages.showFinished(ctx, who.account, onward.clientId);
  }
  return undefined;
}

export function mountPages(flow: Flow<Action, Standing, StepTold>, deps: PageRouteDeps): void {
  const { pages, secondFactor, invited } = deps;

  /** Where to redirect the browser, if it has this page's step behind it. */
  async function onwardFrom(ctx: Context, { waiting, step: proof }: Standing): Promise<string | undefined> {
    const { answered, begunSignedOut, prompt, returnTo } = waiting;
    // Somebody who has just set up an authenticator must see the recovery codes first.
    if (answered && proof && (await secondFactor.hasConfirmed(proof)))
      return `/interaction/${waiting.uid}/recovery-codes`;
    // Either another tab has signed in meanwhile, or the answer to the last step was lost.
    const goesOn = answered || (prompt === 'login' && begunSignedOut && !proof && (await deps.signedIn(ctx)));
    return goesOn ? returnTo : undefined;
  }

  function page(path: string, show: (ctx: Context, standing: Standing) => Promise<void>): void {
    flow.page(path, async (ctx, standing) => {
      const onward = await onwardFrom(ctx, standing);
      if (onward === undefined) await show(ctx, standing);
      else seeOther(ctx, onward);
    });
  }

  // Shown by GET, so that a reload shows them again.
  flow.page('/recovery-codes', async (ctx, standing) => {
    const { step: proof, waiting } = standing;
    const codes = proof && (await secondFactor.recoveryCodesOf(proof));
    if (codes) pages.showRecoveryCodes(ctx, standing, codes);
    else seeOther(ctx, `/interaction/${waiting.uid}`);
  });
  flow.action('/recovery-codes', {
    name: 'recovery-codes',
    async work(ctx, { waiting }) {
      deps.moveOn(ctx, { location: waiting.returnTo, target: waiting.redirectUri });
      return {};
    },
  });
  page('/', async (ctx, standing) => {
    const signsUp = standing.waiting.promptName === 'create' || (await invited.invitation(ctx)) !== undefined;
    if (signsUp && stepOf(standing.proven) === 'login') await pages.showRegister(ctx, standing);
    else await pages.show(ctx, standing);
  });
  page('/login', (ctx, standing) => pages.show(ctx, standing));
  page('/recovery', (ctx, standing) => pages.show(ctx, standing, { recovery: true }));
  page('/register', (ctx, standing) => pages.showRegister(ctx, standing));
}

function orExpired(error: unknown): AppError {
  if (error instanceof AppError && error.code === 'interaction_expired') return error;
  throw error;
}

/**
 * The routes of sign-in, sign-up and consent, at /interaction/:uid: the pages, and the steps that they post. The
 * table of steps decides which of them is allowed. This folder does not prove who somebody is, and it does not know
 * what an app asked for or receives.
 */
import type { Context, Middleware } from 'koa';
import { WrongPassword } from '../authentication/refusals.ts';
import type { SecondFactor } from '../authentication/second_factor.ts';
import { createFlow } from '../http/flow.ts';
import type { Interactions } from '../oidc/interaction/interactions.ts';
import type { Invited } from './invited.ts';
import type { StepOutcome, StepTold } from './outcomes.ts';
import { mountPages, type PageRouteDeps, waitingOr } from './page_routes.ts';
import type { Pages } from './pages.ts';
import type { Standing, Standings } from './standing.ts';
import { mountSteps, type StepRouteDeps } from './step_routes.ts';
import type { Action } from './steps.ts';

export interface InteractionRouteDeps extends PageRouteDeps, StepRouteDeps {
  standings: Standings;
  pages: Pages;
  secondFactor: SecondFactor;
  invited: Invited;
  interactions: Interactions;
  sameOriginOnly: Middleware;
  /** Receives the outcome of every step. */
  onOutcome(outcome: StepOutcome): void;
}

export function createInteractionRoutes(deps: InteractionRouteDeps): Middleware {
  const { standings, sameOriginOnly, onOutcome } = deps;
  const uidOf = (ctx: Context): string => String(ctx.params.uid);
  const flow = createFlow<Action, Standing, StepTold>({
    prefix: '/interaction/:uid',
    sameOriginOnly,
    atPage: (ctx) => waitingOr(deps, ctx, uidOf(ctx)),
    atPost: (ctx) => standings.of(ctx, uidOf(ctx)),
    pageOf: (ctx) => `/interaction/${uidOf(ctx)}`,
    report: (outcome, { waiting, account }, told, failed) =>
      onOutcome({
        ...outcome,
        ...told,
        clientId: waiting.client.id,
        accountId: failed instanceof WrongPassword ? failed.accountId : (told?.accountId ?? account?.id),
      }),
  });
  mountPages(flow, deps);
  mountSteps(flow, deps);
  return flow.router.routes() as Middleware;
}

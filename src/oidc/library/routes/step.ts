/** The steps of which the library's routes are made. It knows them by their names. */
import type { Context, Next } from 'koa';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';

export type Parameters = Record<string, unknown>;

/** A request within a route, as far as its steps read and change it. */
export interface StepContext extends Context {
  oidc: KoaContextWithOIDC['oidc'] & { params: Parameters; body: Parameters; client: Client };
}

export type Step = (ctx: StepContext, next: Next) => unknown;

/** What is put in the place of a step, from the step itself. */
export type Change = (step: Step) => Step;

/** Merged into one file with others of its name, a function has a number behind it: see build_server.ts. */
export const nameOf = (step: Step): string => step.name.replace(/\d+$/, '');

/** The types of the steps (middleware) that the library's routes consist of. */
import type { Context, Next } from 'koa';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';

export type Parameters = Record<string, unknown>;

/** The context of a request within a route, with the fields that our steps read and change. */
export interface StepContext extends Context {
  oidc: KoaContextWithOIDC['oidc'] & { params: Parameters; body: Parameters; client: Client };
}

export type Step = (ctx: StepContext, next: Next) => unknown;

/** Makes the replacement of a step from the step itself. */
export type Change = (step: Step) => Step;

/** The name of a step. A bundler appends a number to equal function names, so trailing digits are removed. */
export const nameOf = (step: Step): string => step.name.replace(/\d+$/, '');

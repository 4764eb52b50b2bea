/**
 * Requests that oidc-provider makes for a client: for its keys, its sector's addresses and its metadata document, and to
 * notify it. Decided here: which of them may reach an inner network, and how many one address may cause. How long keys are
 * kept is in models/client_keys.ts.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from 'koa';
import type { Outgoing, OutgoingRequest } from '../../http/outgoing.ts';
import type { AppError } from '../../lib/errors.ts';
import { currentScope } from './request_scope.ts';

/** The one address that the operator has chosen for the client that is being served. */
const chosen = new AsyncLocalStorage<string>();

/** Whatever `work` asks of exactly this address may be asked on an inner network: the operator chose it for this client. */
export const byOperatorsChoice = <T>(uri: string, work: () => T): T =>
  chosen.run(URL.parse(uri)?.href ?? '', work);

/** Whether a client of the operator's is being served or checked. */
export const isOperatorsWord = (): boolean => chosen.getStore() !== undefined;

export interface FetchDeps {
  outgoing: Outgoing;
  /** Counts a request that this address causes. Returns the refusal where it is one too many. */
  count(address: string): Promise<AppError | undefined>;
}

/** `ctx`: the request that causes it; none where nobody waits for it. */
export type ClientFetch = (
  address: string | URL,
  options?: OutgoingRequest,
  ctx?: Context,
) => Promise<Response>;

/** What the library is given for its `fetch`. */
export function createClientFetch({ outgoing, count }: FetchDeps): ClientFetch {
  return async (address, options, ctx) => {
    const scope = currentScope();
    const causedBy = ctx?.ip ?? scope?.ctx.ip;
    const refusal = causedBy === undefined ? undefined : await count(causedBy);
    if (refusal) {
      if (scope) scope.refusal = refusal;
      throw refusal;
    }
    const { href } = new URL(address);
    return outgoing(href, { ...options, anywhere: chosen.getStore() === href });
  };
}

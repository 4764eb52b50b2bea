/**
 * Requests that oidc-provider sends for a client. They fetch its keys, its sector identifier and its metadata
 * document, and they notify it. This file decides which of them may reach an internal network, and how many of them
 * one IP address may cause. How long keys are kept is decided in models/client_keys.ts.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from 'koa';
import type { Outgoing, OutgoingRequest } from '../../http/outgoing.ts';
import type { AppError } from '../../lib/errors.ts';
import { currentScope } from './request_scope.ts';

/** The one URL on an internal network that may be fetched now, because the operator registered it for this client. */
const chosen = new AsyncLocalStorage<string>();

/** Runs `work`. It may fetch exactly this URL from an internal network too, because the operator chose it. */
export const byOperatorsChoice = <T>(uri: string, work: () => T): T =>
  chosen.run(URL.parse(uri)?.href ?? '', work);

/** Whether the running code serves or checks a client that the operator registered. */
export const isOperatorsWord = (): boolean => chosen.getStore() !== undefined;

export interface FetchDeps {
  outgoing: Outgoing;
  /** Counts a request that this IP address causes. Resolves with the refusal if the address is over its limit. */
  count(address: string): Promise<AppError | undefined>;
}

/**
 * Fetches `address`. `ctx` is the request that causes the fetch; without it, the library's current request is used,
 * if any. Throws AppError 429 if the IP address of that request is over its limit.
 */
export type ClientFetch = (
  address: string | URL,
  options?: OutgoingRequest,
  ctx?: Context,
) => Promise<Response>;

/** Makes the function that the library uses as its `fetch`. */
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

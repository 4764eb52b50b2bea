/**
 * What one authorization stores (grant, code, session) as one commit. oidc-provider saves them one after the other, the
 * session last and before anything is answered: the others wait for it here. Used by adapter.ts; answers.ts writes what an
 * authorization without a session to save has left.
 */
import Provider from 'oidc-provider';
import { requestMemory } from '../../lib/request_memory.ts';
import type { Statement } from '../../storage/statement.ts';

const routes = new Set(['authorization', 'resume']);
const waiting = requestMemory<Statement[]>('authorization writes');

/** Whether the request that is being handled may end with something that is granted. */
export const isAuthorization = (): boolean => routes.has(Provider.ctx?.oidc?.route ?? '');

/** Keeps the statement for the end of the authorization that is being handled. False where none is. */
export function gather(statement: Statement): boolean {
  const { ctx } = Provider;
  if (!ctx || !isAuthorization()) return false;
  waiting.set(ctx, [...(waiting.get(ctx) ?? []), statement]);
  return true;
}

/** What has been gathered in this request; it is the caller's to write, before the answer. */
export const takeGathered = (ctx: object | undefined = Provider.ctx): Statement[] =>
  (ctx && waiting.take(ctx)) ?? [];

/**
 * The use of a code (an authorization code, a device's, a CIBA request) as one commit with the refresh family that it
 * begins. oidc-provider uses the code up first and stores the refresh token later: the use waits for it here, and a crash
 * or a refusal in between leaves the code as it was. Of parallel presentations that statement lets one through. Used by
 * adapter.ts and paseto_refresh_tokens.ts; answers.ts sees to it that nothing is answered while a code is still unused.
 */
import Provider, { type KoaContextWithOIDC } from 'oidc-provider';
import { requestMemory } from '../lib/request_memory.ts';
import { issuesRefreshToken } from './policy.ts';
import type { Use } from './record_store.ts';

const waiting = requestMemory<Use>('code use');

const presented = (model: string) =>
  (Provider.ctx as KoaContextWithOIDC | undefined)?.oidc?.entities[model as 'DeviceCode'] as
    | { error?: string }
    | undefined;

/** Whether the person has denied what this request polls for. */
export const isDenied = (model: string): boolean => presented(model)?.error !== undefined;

/** Keeps the use for the family that this request will begin. False where it will begin none. */
export function useWithFamily(model: string, use: Use): boolean {
  const ctx = Provider.ctx as KoaContextWithOIDC | undefined;
  if (ctx?.oidc?.route !== 'token' || !ctx.oidc.client || !issuesRefreshToken(ctx, ctx.oidc.client))
    return false;
  // What was denied is used up by being told so.
  if (!presented(model) || isDenied(model)) return false;
  waiting.set(ctx, use);
  return true;
}

/** The use that waits in this request; it is the caller's to write. */
export const takeCodeUse = (ctx: object | undefined = Provider.ctx): Use | undefined =>
  ctx && waiting.take(ctx);

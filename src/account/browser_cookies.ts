/** The cookies that the account page sets and removes. */
import type { Context } from 'koa';
import type { Browser } from '../authentication/buckets.ts';
import { userAgentOf } from '../http/request.ts';
import { cookieNames } from '../lib/cookies.ts';

export interface BrowserCookies {
  /** The browser of this session, as the counts of failures need it. */
  browser(ctx: Context, sessionUid: string): Browser;
  proof(ctx: Context): string | undefined;
  keepProof(ctx: Context, token: string, seconds: number): void;
  dropProof(ctx: Context): void;
  /** The used proof that made new recovery codes, for the page that shows them. */
  spentProof(ctx: Context): string | undefined;
  keepSpentProof(ctx: Context, token: string, seconds: number): void;
  /** Removes the cookies of the browser's own session, which has ended. */
  dropSession(ctx: Context): void;
}

export const newCodesPath = '/account/new-codes';

export function createBrowserCookies(secure: boolean): BrowserCookies {
  const names = cookieNames(secure);
  const base = { httpOnly: true, secure, signed: false, overwrite: true } as const;
  const proof = { ...base, sameSite: 'strict', path: '/account' } as const;
  return {
    browser: (ctx, sessionUid) => ({
      address: ctx.ip,
      agent: userAgentOf(ctx),
      known: ctx.cookies.get(names.device),
      sessionUid,
    }),
    proof: (ctx) => ctx.cookies.get(names.proof),
    keepProof(ctx, token, seconds) {
      ctx.cookies.set(names.proof, token, { ...proof, maxAge: seconds * 1000 });
    },
    dropProof(ctx) {
      ctx.cookies.set(names.proof, null, proof);
    },
    spentProof: (ctx) => ctx.cookies.get(names.newCodes),
    keepSpentProof(ctx, token, seconds) {
      const codes = { ...proof, path: newCodesPath };
      ctx.cookies.set(names.newCodes, token, { ...codes, maxAge: seconds * 1000 });
    },
    dropSession(ctx) {
      ctx.cookies.set(names.session, null, { ...base, sameSite: 'lax', path: '/' });
      ctx.cookies.set(names.proof, null, proof);
    },
  };
}

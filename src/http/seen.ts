/**
 * Shows `npx cypher doctor` how a request arrives here: which address the server sees as its sender, and what proxies
 * did to its headers. The sender must prove that they have the server's keys. All others get a 404.
 */
import type { Context, Middleware } from 'koa';
import { constantTimeEqual, keyedHash } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';

export interface Seen {
  /** The address that the sender counts as. */
  address: string;
  /** The other end of the connection: the sender, or the last proxy. */
  peer: string;
  /** Whether TRUSTED_PROXIES names it. */
  peerTrusted: boolean;
  /** `X-Forwarded-For` and `X-Forwarded-Proto` as they arrived. */
  forwardedFor: string | undefined;
  forwardedProto: string | undefined;
  /** Proxies that have sent requests to this process and are not trusted. */
  untrustedProxies: string[];
}

export const seenPath = '/health/seen';

/** The value of `Authorization`. It is accepted for a minute. */
export const seenProof = (key: Uint8Array, nowMs: number): string =>
  `Doctor ${nowMs}.${keyedHash(key, String(nowMs)).toString('base64url')}`;

export interface SeenDeps {
  /** 32 bytes, for the proof. */
  key: Uint8Array;
  isTrusted(address: string): boolean;
  untrustedProxies(): string[];
  now: () => number;
}

export function createSeen({ key, isTrusted, untrustedProxies, now }: SeenDeps): Middleware {
  const isProof = (given: string): boolean => {
    const [, at] = /^Doctor (\d{1,15})\.[\w-]{43}$/.exec(given) ?? [];
    return (
      at !== undefined &&
      Math.abs(now() - Number(at)) < lifeSeconds.doctorProof * 1000 &&
      constantTimeEqual(given, seenProof(key, Number(at)))
    );
  };
  return async (ctx, next) => {
    if (ctx.path !== seenPath || !isProof(ctx.get('authorization'))) return next();
    const peer = ctx.req.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
    const seen: Seen = {
      address: ctx.ip,
      peer,
      peerTrusted: isTrusted(peer),
      forwardedFor: asItCame(ctx, 'x-forwarded-for'),
      forwardedProto: asItCame(ctx, 'x-forwarded-proto'),
      untrustedProxies: untrustedProxies(),
    };
    ctx.set('Cache-Control', 'no-store');
    ctx.body = seen;
  };
}

/** A header as it arrived, before it was replaced by the address and name that the server settled on. */
function asItCame(ctx: Context, name: string): string | undefined {
  const { rawHeaders } = ctx.req;
  const values = rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name,
  );
  return values.length > 0 ? values.join(', ') : undefined;
}

/**
 * Refuses requests while the database has returned to an older state: there, everything that was revoked since is
 * valid again.
 */
import type { Middleware } from 'koa';
import { behind, type RestoreGuard } from '../storage/restore_guard.ts';
import { pathOf } from './rate_limit.ts';

/**
 * Paths whose answers do not depend on the database. Published keys are not among them: a key that was dropped may be
 * back.
 */
const stateless =
  /^\/(health(\/|$)|assets\/|\.well-known\/(openid-configuration|oauth-authorization-server))/;

/** Throws AppError 503 until the operator has decided what to do about the older state. */
export const refuseWhileBehind =
  ({ behindMs, settled }: Pick<RestoreGuard, 'behindMs' | 'settled'>): Middleware =>
  (ctx, next) => {
    const settling = settled();
    if (!settling && behindMs() === undefined) return next();
    if (stateless.test(pathOf(ctx))) return next();
    return Promise.resolve(settling).then(() => {
      if (behindMs() !== undefined) throw behind();
      return next();
    });
  };

/** What every page is built with, no matter which feature it belongs to. */
import { join } from 'node:path';
import type { Middleware } from 'koa';
import { createAssets } from '../http/assets.ts';
import { receiveBody } from '../http/forms.ts';
import { sameOriginOnly } from '../http/origin.ts';
import { createAddressCount, createAddressLimit } from '../http/rate_limit.ts';
import { createViews } from '../http/views.ts';
import { type Admission, createAdmission } from '../lib/admission.ts';
import { countTogether } from '../lib/log.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';

export type PageParts = ReturnType<typeof createPageParts>;

/**
 * How many starts of sign-ins run concurrently: some 150 ms of OPAQUE. With more, the queue would grow faster than it
 * is served.
 */
const mostStarts = 64;

export function createPageParts(
  { config, root, cache, metrics, log }: Ground,
  { counts, networksOf }: Pick<Foundations, 'counts' | 'networksOf'>,
) {
  const limits = { cache, counts, networksOf };
  const points = config.LIMIT_ADDRESS_PER_MINUTE;
  const noteRefused = countTogether((count) =>
    log.warn({ count }, 'starts of sign-ins were refused: more people came than this server can serve'),
  );
  const assets = createAssets({ dir: join(root, 'views/assets') });
  return {
    assets,
    views: createViews({ viewsDir: join(root, 'views'), assets }),
    secureCookies: config.ISSUER.startsWith('https:'),
    sameOriginOnly: sameOriginOnly(config.ISSUER),
    /** Refuses starts of sign-ins, sign-ups and proofs while too many are under way. */
    admission: admitting(
      createAdmission(mostStarts, () => {
        metrics.overloaded.inc();
        noteRefused();
      }),
    ),
    /** Limits attempts at everything that costs work or can be guessed, all counted together. */
    addressLimit: createAddressLimit(limits, { what: 'address', points }),
    /** Limits the starts of what strangers can create permanently: accounts, and apps that register themselves. */
    makingLimit: refusing(createAddressCount(limits, { what: 'made', points, seconds: 60 * 60 })),
  };
}

/**
 * Checks first, so that a refused request costs no work. Admits only after the body has arrived, so that a slow
 * sender does not occupy a place.
 */
function admitting({ check, admit }: Admission): Middleware {
  return async (ctx, next) => {
    check();
    await receiveBody(ctx);
    await admit(next);
  };
}

/** Refuses what exceeds the limit. It does not say how much is left, because a tighter limit beside it does. */
function refusing(count: ReturnType<typeof createAddressCount>): Middleware {
  return async (ctx, next) => {
    const refusal = await count(ctx.ip);
    if (refusal) throw refusal;
    await next();
  };
}

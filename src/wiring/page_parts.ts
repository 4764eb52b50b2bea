/** What every page is built with, whichever feature it belongs to. */
import { join } from 'node:path';
import type { Middleware } from 'koa';
import { createAssets } from '../http/assets.ts';
import { receiveBody } from '../http/forms.ts';
import type { NetworksOf } from '../http/networks.ts';
import { sameOriginOnly } from '../http/origin.ts';
import { createAddressCount, createAddressLimit } from '../http/rate_limit.ts';
import { createViews } from '../http/views.ts';
import { type Admission, createAdmission } from '../lib/admission.ts';
import { countTogether } from '../lib/log.ts';
import type { Ground } from './deps.ts';

export type PageParts = ReturnType<typeof createPageParts>;

/** How many starts of sign-ins are under way at once: some 150 ms of OPAQUE. With more, the queue grows faster than it is served. */
const mostStarts = 64;

export function createPageParts({ config, root, cache, metrics, log }: Ground, networksOf: NetworksOf) {
  const limits = { cache, networksOf };
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
    /** Counts attempts at what costs work or can be guessed, all of them together. */
    addressLimit: createAddressLimit(limits, { what: 'address', points }),
    /** Counts beginnings of what strangers make for good: accounts, and apps that register themselves. */
    makingLimit: refusing(createAddressCount(limits, { what: 'made', points, seconds: 60 * 60 })),
  };
}

/** Before any work is done for what will be refused, and after its body has come: a slow sender takes no place. */
function admitting({ check, admit }: Admission): Middleware {
  return async (ctx, next) => {
    check();
    await receiveBody(ctx);
    await admit(next);
  };
}

/** Refuses what is more than the limit, and says nothing of what is left: a tighter limit beside it does. */
function refusing(count: ReturnType<typeof createAddressCount>): Middleware {
  return async (ctx, next) => {
    const refusal = await count(ctx.ip);
    if (refusal) throw refusal;
    await next();
  };
}

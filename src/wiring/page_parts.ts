/** What every page is built with, whichever feature it belongs to. */
import { join } from 'node:path';
import type { Middleware } from 'koa';
import type { AppDeps } from '../app.ts';
import type { Config } from '../config/load.ts';
import { createAssets } from '../http/assets.ts';
import type { NetworksOf } from '../http/networks.ts';
import { sameOriginOnly } from '../http/origin.ts';
import { createAddressCount, createAddressLimit } from '../http/rate_limit.ts';
import { createViews } from '../http/views.ts';

export type PageParts = ReturnType<typeof createPageParts>;

export function createPageParts(config: Config, { root, cache }: AppDeps, networksOf: NetworksOf) {
  const limits = { cache, networksOf };
  const points = config.LIMIT_ADDRESS_PER_MINUTE;
  const assets = createAssets({ dir: join(root, 'views/assets') });
  return {
    assets,
    views: createViews({ viewsDir: join(root, 'views'), assets }),
    secureCookies: config.ISSUER.startsWith('https:'),
    sameOriginOnly: sameOriginOnly(config.ISSUER),
    /** Counts attempts at what costs work or can be guessed, all of them together. */
    addressLimit: createAddressLimit(limits, { what: 'address', points }),
    /** Counts beginnings of what strangers make for good: accounts, and apps that register themselves. */
    makingLimit: refusing(createAddressCount(limits, { what: 'made', points, seconds: 60 * 60 })),
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

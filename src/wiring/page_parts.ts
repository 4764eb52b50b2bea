/** What every page is built with, whichever feature it belongs to. */
import { join } from 'node:path';
import type { AppDeps } from '../app.ts';
import type { Config } from '../config/load.ts';
import { createAssets } from '../http/assets.ts';
import { sameOriginOnly } from '../http/origin.ts';
import { createAddressLimit } from '../http/rate_limit.ts';
import { createViews } from '../http/views.ts';

export type PageParts = ReturnType<typeof createPageParts>;

export function createPageParts(config: Config, { root, cache }: AppDeps) {
  const assets = createAssets({ dir: join(root, 'views/assets') });
  return {
    assets,
    views: createViews({ viewsDir: join(root, 'views'), assets }),
    secureCookies: config.ISSUER.startsWith('https:'),
    sameOriginOnly: sameOriginOnly(config.ISSUER),
    /** Counts attempts at what costs work or can be guessed, all of them together. */
    addressLimit: createAddressLimit(cache, config.LIMIT_ADDRESS_PER_MINUTE),
  };
}

/**
 * Serves the built files of views/assets under /assets/, from memory, in the smallest form that the browser accepts.
 * It owns their names and headers. It builds nothing and compresses nothing: the build does that.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Middleware } from 'koa';

const PREFIX = '/assets/';

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** A file's bytes by content coding. */
interface Asset {
  identity: Buffer;
  gzip: Buffer;
  br: Buffer;
}

export interface Assets {
  /**
   * Answers GET and HEAD below /assets/, with 404 for an unknown file. Every other request goes on to the next
   * middleware.
   */
  middleware: Middleware;
  /** The path of a built file by its plain name, e.g. `login.js`. Throws if the build makes no such file. */
  urlFor(name: string): string;
}

/** Reads every built file of `dir` now, so that a missing build fails at the start and not at a request. */
export function createAssets({ dir }: { dir: string }): Assets {
  const manifest = readManifest(dir);
  const assets = new Map<string, Asset>();
  for (const name of readdirSync(dir)) {
    if (!(extname(name) in TYPES)) continue;
    const read = (suffix: string) => readFileSync(join(dir, name + suffix));
    assets.set(name, { identity: read(''), gzip: read('.gz'), br: read('.br') });
  }

  return {
    middleware: async (ctx, next) => {
      if (!ctx.path.startsWith(PREFIX) || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next();
      const name = ctx.path.slice(PREFIX.length);
      const asset = assets.get(name);
      if (!asset) return;
      // One at a time, in our order: browsers name gzip first, and in their order br would never be served.
      const coding = (['br', 'gzip'] as const).find((coding) => ctx.acceptsEncodings(coding)) ?? 'identity';
      // The name changes with the content, so a cached copy never becomes outdated.
      ctx.set('Cache-Control', 'public, max-age=31536000, immutable');
      // Pages of this server that are shown at sites behind forward-auth load their style from here.
      ctx.set('Cross-Origin-Resource-Policy', 'cross-origin');
      ctx.vary('Accept-Encoding');
      if (coding !== 'identity') ctx.set('Content-Encoding', coding);
      ctx.type = TYPES[extname(name)] ?? '';
      ctx.body = asset[coding];
    },
    urlFor(name) {
      const hashed = manifest[name];
      if (!hashed) throw new Error(`no built file is called ${name}`);
      return PREFIX + hashed;
    },
  };
}

function readManifest(dir: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8'));
  } catch (cause) {
    throw new Error(`the pages are not built: ${dir} has no manifest.json; run "npm run build"`, { cause });
  }
}

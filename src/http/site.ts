/** The routes that belong to no feature: the home page, health, and the published PASETO keys. */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import { contentSecurityPolicy } from './headers.ts';
import type { PageViews } from './views.ts';

export interface SiteDeps {
  issuer: string;
  /** The version of this server. */
  version: string;
  views: PageViews;
  /** The username that is signed in in this browser. */
  signedInAs(ctx: Context): Promise<string | undefined>;
  /** The apps that the home page links to. */
  apps(): Promise<{ name: string; uri: string }[]>;
  pasetoKeys(): object[];
  /** How long others may cache the PASETO keys. */
  pasetoKeysSeconds: number;
  /** Rejects while PostgreSQL cannot serve. */
  pingDatabase(): Promise<unknown>;
  /** `none` if no Redis is configured. */
  cacheState(): 'ok' | 'degraded' | 'none';
  /** How much of its history the database lacks, in milliseconds. Undefined if nothing is known to be missing. */
  behindMs(): number | undefined;
  /** True once the process was asked to stop. */
  stopping(): boolean;
}

export function createSite(deps: SiteDeps): Middleware {
  const router = new Router();

  router.get('/', async (ctx) => {
    ctx.type = 'html';
    ctx.set('Cache-Control', 'no-store');
    ctx.set('Content-Security-Policy', contentSecurityPolicy());
    ctx.body = deps.views.render('home', {
      issuer: deps.issuer,
      username: await deps.signedInAs(ctx),
      signOutUrl: '/session/end',
      apps: await deps.apps(),
    });
  });

  router.get(['/health', '/health/live'], (ctx) => {
    ctx.body = { status: 'ok', version: deps.version };
  });

  // While Redis cannot be written to, the instance stays ready: PostgreSQL counts what Redis would.
  router.get('/health/ready', async (ctx) => {
    const database = await deps.pingDatabase().then(
      () => 'ok',
      () => 'down',
    );
    const behindMs = deps.behindMs();
    const ready = database === 'ok' && behindMs === undefined && !deps.stopping();
    const cache = deps.cacheState();
    ctx.status = ready ? 200 : 503;
    if (!ready) ctx.set('Retry-After', '2');
    const status = !ready ? 'unavailable' : cache === 'degraded' ? 'degraded' : 'ok';
    ctx.body = {
      status,
      version: deps.version,
      database: database === 'ok' && behindMs !== undefined ? 'behind' : database,
      cache,
      stopping: deps.stopping(),
      ...(behindMs !== undefined && { reason: behindReason(behindMs) }),
    };
  });

  // Answered from memory, so also while PostgreSQL is away. An instance that is cut off then goes on publishing a key
  // that was dropped meanwhile. Whoever verifies offline accepts that key until PostgreSQL is back and this answer
  // has expired. Publishing nothing instead would make every offline verification fail.
  router.get('/.well-known/paseto-keys', (ctx) => {
    ctx.set('Cache-Control', `public, max-age=${deps.pasetoKeysSeconds}`);
    ctx.body = { issuer: deps.issuer, keys: deps.pasetoKeys() };
  });

  return router.routes() as Middleware;
}

const behindReason = (missingMs: number): string =>
  `The database has returned to an older state: it lacks at least ${Math.round(missingMs / 1000)} s of what was seen of it. Run \`npx cypher restored\`, or \`npx cypher restored --accept\` to keep everything as it is there.`;

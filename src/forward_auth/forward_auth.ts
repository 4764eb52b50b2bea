/**
 * Forward-auth puts the issuer's session in front of sites that do not know OpenID Connect. nginx, Traefik or Caddy
 * ask about each request. This folder owns the sites, their rules and the browser's tickets. It owns no session: a
 * ticket names a session of the issuer, and is valid only as long as that session.
 */
import type { Middleware } from 'koa';
import type { ForwardAuth } from '../config/forward_auth.ts';
import { type CheckDeps, createCheck } from './check.ts';
import { createForwardAuthRoutes, type ForwardAuthRouteDeps } from './routes.ts';
import { createSites } from './sites.ts';
import { createTickets, type TicketDeps } from './tickets.ts';

export interface ForwardAuthDeps
  extends Omit<TicketDeps, 'domain'>,
    Omit<CheckDeps, 'tickets'>,
    Omit<ForwardAuthRouteDeps, 'sites' | 'tickets' | 'check' | 'cookieDomain'> {
  /** Gives the same result for all spellings of one name. Throws if it cannot be a name. */
  foldUsername(name: string): string;
}

export function createForwardAuth(config: ForwardAuth, deps: ForwardAuthDeps): Middleware {
  const cookieDomain = config.cookie_domain;
  const tickets = createTickets({ ...deps, domain: cookieDomain });
  const sites = createSites(deps.issuer, config.sites, deps.foldUsername);
  return createForwardAuthRoutes({
    ...deps,
    cookieDomain,
    sites,
    tickets,
    check: createCheck({ ...deps, tickets }),
  });
}

/**
 * Forward-auth, built: the sign-on session in front of sites that know no OpenID Connect. nginx, Traefik or Caddy ask
 * about each request; routes.ts has the way, check.ts the look, sites.ts and rules.ts what the configuration says. It owns
 * no session: it goes by the issuer's, and ends with it.
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
  /** The same for all spellings of one name. Throws where it can be none. */
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

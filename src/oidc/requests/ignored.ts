/**
 * Logs warnings about scopes that apps request and do not get. Unknown scopes are ignored without an error (RFC 6749,
 * section 3.3). And without `openid` an app gets no ID token. Each warning is logged once per app while the process
 * runs.
 */

import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Current } from '../../lib/current.ts';
import type { Log } from '../../lib/log.ts';
import { isIdentityScope } from '../claims/scopes.ts';
import { shown } from './error_reports.ts';

/**
 * Bounds the memory, because self-registered apps are unlimited in number. After this many, there are no new
 * warnings.
 */
const mostWarned = 1000;

/** Receives the requested scope, before the library removes unknown values from it. */
export type OnAsked = (ctx: Pick<KoaContextWithOIDC, 'oidc'>, scope: string) => void;

export function createWarnings(resources: Current<readonly Resource[]>, log: Log): OnAsked {
  const warned = new Set<string>();

  function once(kind: string, client: string, details: object, sentence: string): void {
    const key = `${kind} ${client}`;
    if (warned.has(key) || warned.size >= mostWarned) return;
    warned.add(key);
    log.warn({ client, ...details }, sentence);
  }

  return ({ oidc }, scope) => {
    const client = oidc.client?.clientId;
    const asked = scope.split(' ').filter(Boolean);
    if (client === undefined || asked.length === 0) return;
    const unknown = asked.filter(
      (each) => !isIdentityScope(each) && !resources.current().some(({ scopes }) => scopes.includes(each)),
    );
    if (unknown.length > 0)
      once(
        'scope',
        client,
        { scopes: unknown.slice(0, 10).map(shown) },
        'an app asks for scopes that nothing here has, and does not get them: declare them for an API in RESOURCES_FILE, or take them out of its scope',
      );
    if (!asked.includes('openid') && asked.some(isIdentityScope))
      once(
        'openid',
        client,
        {},
        'an app asks for profile, email or offline_access without openid, and receives no ID token: add openid to its scope',
      );
  };
}

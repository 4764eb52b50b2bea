/**
 * Warns of what apps ask for and do not get: scopes that nothing here has are left out without an error (RFC 6749, section 3.3),
 * and without `openid` there is no sign-in to speak of. Each app is warned of once while the process runs.
 */

import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Current } from '../../lib/current.ts';
import type { Log } from '../../lib/log.ts';
import { isIdentityScope } from '../claims/scopes.ts';
import { shown } from './error_reports.ts';

/** Self-registered apps could fill the memory: past so many no further ones are warned of. */
const mostWarned = 1000;

/** Called with the scope that a request asks for, before the library removes what it does not know. */
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

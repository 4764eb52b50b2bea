/** The dependencies of oidc-provider's configuration. */

import type { Configuration, JWK } from 'oidc-provider';
import type { Accounts } from '../../../accounts/accounts.ts';
import type { Config } from '../../../config/load.ts';
import type { Resource } from '../../../config/schema.ts';
import type { Consents } from '../../../consents/consents.ts';
import type { CookieSignatures } from '../../../lib/cookie_signatures.ts';
import type { Current } from '../../../lib/current.ts';
import type { Pairwise } from '../../clients/pairwise.ts';
import type { Pages } from '../../interaction/page.ts';
import type { CibaDeps } from '../../polled/ciba.ts';
import type { ClientFetch } from '../client_fetches.ts';
import type { AnonymousForms } from '../routes/anonymous_forms.ts';

export interface ConfigurationDeps {
  config: Config;
  /** The declared APIs. */
  resources: Current<readonly Resource[]>;
  accounts: Pick<Accounts, 'byId' | 'parseUsername' | 'idOf'>;
  adapter: Configuration['adapter'];
  jwks: JWK[];
  cookieSignatures: CookieSignatures;
  /** 32 bytes that DPoP nonces are derived from. */
  dpopNonceKey: Buffer;
  pairwise: Pairwise;
  consents: Pick<Consents, 'of'>;
  pages: Pages;
  anonymousForms: AnonymousForms;
  /** Keeps the notification that a client receives once a person has answered its request. */
  holdPing: CibaDeps['holdPing'];
  waitingFor: CibaDeps['waitingFor'];
  /** Sends requests to addresses of apps: for keys, sector identifiers and metadata documents, and at logout. */
  fetch: ClientFetch;
  now: () => number;
}

/** What the configuration of oidc-provider is made from. */

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
  /** The APIs that there are. */
  resources: Current<readonly Resource[]>;
  accounts: Pick<Accounts, 'byId' | 'parseUsername' | 'idOf'>;
  adapter: Configuration['adapter'];
  jwks: JWK[];
  cookieSignatures: CookieSignatures;
  /** 32 bytes from which DPoP nonces are made. */
  dpopNonceKey: Buffer;
  pairwise: Pairwise;
  consents: Pick<Consents, 'of'>;
  pages: Pages;
  anonymousForms: AnonymousForms;
  /** Keeps what a client is to be sent once a person has answered its request. */
  holdPing: CibaDeps['holdPing'];
  waitingFor: CibaDeps['waitingFor'];
  /** What the provider asks of apps' addresses: keys, sector identifiers, metadata documents, logout. */
  fetch: ClientFetch;
  now: () => number;
}

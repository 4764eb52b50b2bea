/**
 * oidc-provider's AuthorizationCode. One statement stores it with its session and grant. One statement reads it with
 * its session, grant and account. The commit of the token request uses it. What it shares with other codes is in
 * code.ts.
 */

import type Provider from 'oidc-provider';
import type { Adapter } from 'oidc-provider';
import type { Stores } from '../stores.ts';
import { codeAdapter, overrideFind } from './code.ts';
import { authorizationAdapter } from './record.ts';

export const overrideAuthorizationCode = (provider: Provider): void =>
  overrideFind(provider, 'AuthorizationCode');

export const authorizationCodeAdapter = (stores: Stores): Partial<Adapter> => ({
  ...authorizationAdapter('AuthorizationCode', stores),
  ...codeAdapter('AuthorizationCode', stores, { query: stores.readAhead }),
});

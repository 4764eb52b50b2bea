/**
 * oidc-provider's AuthorizationCode: stored with its session and its grant in one statement, read with its session, its grant
 * and its account by one, and used up by the commit of the whole request. What it shares with other codes is in code.ts.
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

/**
 * What authorization codes, device codes and CIBA requests have in common: tokens are first issued for them, once, and all
 * that is issued is one family.
 */
import type Provider from 'oidc-provider';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { Query } from '../../../storage/database.ts';
import { familyOf } from '../../tokens/family.ts';
import { isReference } from '../record_store.ts';
import { currentScope, type Route } from '../request_scope.ts';
import type { Stores } from '../stores.ts';
import { modelOf } from './model.ts';

export type CodeName = 'AuthorizationCode' | 'DeviceCode' | 'BackchannelAuthenticationRequest';

export interface Code {
  clientId: string;
  accountId: string;
  sessionUid?: string;
  expiresWithSession?: boolean;
  isExpired: boolean;
  error?: string;
  grantId?: string;
}

export type FindCode<C> = (value: string, options?: object) => Promise<C | undefined>;

/**
 * Replaces the `find` of a kind of code. `check` is asked about each code that is found, and may refuse it.
 *
 * The code is known to the request before it is used up, so that a replayed one names its family. It is bound to its session,
 * but not, as the library has it, to the session's newest grant for the app: an app that is opened in two tabs at once has
 * two grants in one session, and both codes are good.
 */
export function overrideFind<C extends Code>(
  provider: Provider,
  name: CodeName,
  check: (code: C, value: string) => Promise<void> = async () => {},
): void {
  const Model = modelOf<{ find: FindCode<C> }>(provider, name);
  const find = Model.find.bind(Model);
  Model.find = async (value, options) => {
    const code = await find(value, { ...options, ignoreSessionBinding: true });
    if (!code) return undefined;
    if (code.expiresWithSession && code.sessionUid !== undefined) {
      const session = await provider.Session.findByUid(code.sessionUid);
      if (session?.accountId !== code.accountId) return undefined;
    }
    const scope = currentScope();
    if (scope?.isTokenRequest) scope.ctx.oidc.entity(name, code);
    await check(code, value);
    return code;
  };
}

/**
 * The adapter's part. A code is used up by the commit of the whole request (routes/token_commit.ts), which a request that is
 * refused never reaches: what was denied is therefore told at every poll. `query` reads it at the token endpoint; `mayRefer`
 * says where a reference is taken for an id.
 */
export function codeAdapter(
  model: CodeName,
  { records, revocations }: Pick<Stores, 'records' | 'revocations'>,
  { query, mayRefer = () => false }: { query?: Query; mayRefer?(route: Route | undefined): boolean } = {},
): Pick<Adapter, 'find' | 'consume'> {
  return {
    async find(id) {
      const scope = currentScope();
      if (isReference(id) && !mayRefer(scope?.route)) return undefined;
      const found = await records.byId(model, id, query);
      if (scope?.isTokenRequest) {
        if (!found) scope.endUsed = () => revocations.endBegunFamily(familyOf(id), 'revoked');
        else if (found.used) scope.endUsed = () => revocations.endFamily(familyOf(id), 'revoked');
      }
      return found as AdapterPayload | undefined;
    },
    async consume(id) {
      const scope = currentScope();
      if (!scope) throw new Error('a token is issued outside a request');
      scope.code = {
        use: (hand) => records.using(model, id, hand),
        endTokens: () => revocations.endFamily(familyOf(id), 'revoked'),
      };
    },
  };
}

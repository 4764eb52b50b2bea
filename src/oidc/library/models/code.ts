/**
 * What authorization codes, device codes and CIBA requests have in common. Each is exchanged for tokens once, and all
 * the tokens that follow from it are one family.
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
 * Replaces the `find` of one kind of code. `check` is called for each code that is found, and may throw to refuse it.
 *
 * The request knows the code before it is used, so that a replayed code identifies its family. The code is bound to
 * its session, but not to the session's newest grant for the app, as in the library: an app that is opened in two
 * tabs at the same time has two grants in one session, and both codes are valid.
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
 * `find` and `consume` of the adapter. A code is used by the commit of the token request (routes/token_commit.ts). A
 * refused request does not reach it, so a client that polls for a denied request gets the same refusal each time.
 * `query` runs the statement that reads the code. `mayRefer` says on which routes a reference is accepted in place of
 * an id.
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

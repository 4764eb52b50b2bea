/**
 * oidc-provider's Grant: what a person has allowed an app. It is stored in the commit of the authorization that makes
 * it, and read ahead with the code or token of a request (read_ahead.ts).
 *
 * - It records the session in which it was given. A token that APIs can read does not name its session, so the check
 *   whether that session has ended finds it here.
 * - `find` reads no row at introspection, where the library only checks that the grant has not ended. The revocations
 *   have just been checked for the token, and a grant never ends without one. So the token's own claims replace the
 *   row.
 */

import type Provider from 'oidc-provider';
import type { Adapter, AdapterPayload, Client, Grant } from 'oidc-provider';
import { randomId } from '../../../lib/crypto.ts';
import type { OpenedClaims } from '../../tokens/token_claims.ts';
import { takeKept } from '../read_ahead.ts';
import type { RecordPayload } from '../record_store.ts';
import { currentScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';
import { filled, keepInPayload, modelOf } from './model.ts';
import { authorizationAdapter } from './record.ts';

interface GrantClass {
  new (payload: object): object;
  IN_PAYLOAD: string[];
  find(id: string, options?: object): Promise<object | undefined>;
}

export type GrantInSession = Grant & { sessionUid?: string };

export function overrideGrant(provider: Provider): void {
  const Model = modelOf<GrantClass>(provider, 'Grant');
  keepInPayload(Model, 'sessionUid');
  const find = Model.find.bind(Model);
  Model.find = async (id, options) => {
    const checked = currentScope()?.checkedGrant;
    return checked?.jti === id ? filled(Model, checked) : find(id, options);
  };
}

/** At introspection, remembers what the token states about its grant. `find` then needs no query. */
export function rememberGrantOf(
  { grant, client_id, iat, exp }: OpenedClaims,
  accountId: string | undefined,
): void {
  const scope = currentScope();
  if (scope?.route !== 'introspection' || grant === undefined || accountId === undefined) return;
  scope.checkedGrant = { jti: grant, clientId: client_id, accountId, iat, exp };
}

/** Records the session in a grant that has none yet. */
export function rememberSession(grant: GrantInSession, sessionUid: string): void {
  grant.sessionUid ??= sessionUid;
}

/** A grant with nothing in it. Its lifetime depends on the client. */
export const newGrant = (provider: Provider, accountId: string, client: Client): GrantInSession =>
  // The library has a setter for the client, and no argument of the constructor.
  Object.assign(new provider.Grant({ accountId }), { client });

/**
 * Lets the next save of a grant make it last as long as a new one, if it ends before `neededUntil` (unix seconds). A grant may
 * be older than its session's last sign-in, and its app may use refresh tokens only since then. False if it lasts long enough.
 */
export function prolong(grant: GrantInSession, client: Client, neededUntil: number): boolean {
  if (grant.exp === undefined || grant.exp >= neededUntil) return false;
  Object.assign(grant, { client, exp: undefined });
  return true;
}

/** Gives a new grant an id. Resolves with what to store in the caller's own transaction. `exp`: unix seconds. */
export async function payloadOfGrant(
  grant: Grant,
): Promise<{ id: string; payload: RecordPayload; exp: number }> {
  const made = grant as unknown as {
    getValueAndPayload(): Promise<{ payload: RecordPayload & { exp: number } }>;
  };
  grant.jti = randomId(32);
  const { payload } = await made.getValueAndPayload();
  return { id: grant.jti, payload, exp: payload.exp };
}

export const grantAdapter = (stores: Stores): Partial<Adapter> => ({
  ...authorizationAdapter('Grant', stores),
  async find(id) {
    const found = takeKept('Grant', id) ?? (await stores.records.byId('Grant', id));
    return found && ({ ...found, jti: id } as AdapterPayload);
  },
});

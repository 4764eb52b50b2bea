/**
 * Stores a model as short-lived protocol state (storage/ephemeral.ts). If it is lost, the person has to start again.
 */
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { errors } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { stateOf, stateText } from '../../../lib/formats.ts';
import { currentScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';

export function ephemeralAdapter(
  model: string,
  { ephemeral, networkOf }: Pick<Stores, 'ephemeral' | 'networkOf'>,
): Pick<Adapter, 'upsert' | 'find' | 'destroy'> {
  const key = (id: string) => `${model}:${sha256(id)}`;
  return {
    upsert(id, { jti: _, ...payload }, expiresIn = 0) {
      const scope = currentScope();
      const owner = scope && networkOf(scope.ctx.ip);
      return ephemeral.put(key(id), stateText('request', payload), expiresIn, owner);
    },
    async find(id) {
      const payload = stateOf<AdapterPayload>('request', await ephemeral.get(key(id)));
      return payload && { ...payload, jti: id };
    },
    // An interaction is destroyed when its browser goes on to the app. Only one of several concurrent requests may.
    async destroy(id) {
      if ((await ephemeral.take(key(id))) === undefined) throw new errors.SessionNotFound('used before');
    },
  };
}

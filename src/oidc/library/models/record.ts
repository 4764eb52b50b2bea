/** The default adapter of a model that is stored as a record (record_store.ts). */
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { isReference, type RecordPayload } from '../record_store.ts';
import { currentScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';

export const recordAdapter = (model: string, { records }: Pick<Stores, 'records'>): Partial<Adapter> => ({
  async upsert(id, payload, ttlSeconds = 0) {
    await records.save({ model, id, payload: payload as RecordPayload, ttlSeconds });
  },
  // A reference can be made from a database dump, so input from outside must not be accepted as one.
  async find(id) {
    return isReference(id) ? undefined : ((await records.byId(model, id)) as AdapterPayload | undefined);
  },
  destroy: (id) => records.remove(model, id),
  // If only one family ends, the grant's other codes stay valid. A used code must also stay known, so that its replay
  // is detected.
  async revokeByGrantId(grantId) {
    if (currentScope()?.family === undefined) await records.removeOfGrant(model, grantId);
  },
});

/** The same, but what an authorization saves is written in one commit with its session. */
export const authorizationAdapter = (
  model: string,
  { records }: Pick<Stores, 'records'>,
): Partial<Adapter> => ({
  ...recordAdapter(model, { records }),
  async upsert(id, payload, ttlSeconds = 0) {
    const record = { model, id, payload: payload as RecordPayload, ttlSeconds };
    if (!currentScope()?.gather(records.saving(record))) await records.save(record);
  },
});

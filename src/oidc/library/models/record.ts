/** How a model is kept as a record (record_store.ts), as far as its own file says nothing else. */
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { isReference, type RecordPayload } from '../record_store.ts';
import { currentScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';

export const recordAdapter = (model: string, { records }: Pick<Stores, 'records'>): Partial<Adapter> => ({
  async upsert(id, payload, ttlSeconds = 0) {
    await records.save({ model, id, payload: payload as RecordPayload, ttlSeconds });
  },
  // A reference is made of what a dump holds, and opens nothing from outside.
  async find(id) {
    return isReference(id) ? undefined : ((await records.byId(model, id)) as AdapterPayload | undefined);
  },
  destroy: (id) => records.remove(model, id),
  // Where one family ends, the grant's other codes live on; and a used one must be known when it is presented again.
  async revokeByGrantId(grantId) {
    if (currentScope()?.family === undefined) await records.removeOfGrant(model, grantId);
  },
});

/** The same for what an authorization makes: it is written with its session. */
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

/**
 * oidc-provider's DeviceCode (RFC 8628). What it shares with other codes is in code.ts.
 *
 * - `find` refuses clients that poll too often. The response of the endpoint says how often they may.
 * - Of several concurrent answers by people, the first to be stored wins.
 * - The person's pages find a code by its user code. They hold a reference instead of the device code, which only the
 *   device knows. Only the routes of these pages accept a reference.
 * - A code is kept for a while after it has expired, so that a client whose answer was lost can ask again.
 */

import type Provider from 'oidc-provider';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { AppError } from '../../../lib/errors.ts';
import { lifeSeconds } from '../../../lifetimes.ts';
import { pollSeconds } from '../../polled/polling.ts';
import type { RecordPayload } from '../record_store.ts';
import type { Stores } from '../stores.ts';
import { codeAdapter, overrideFind } from './code.ts';
import { type PollsTooSoon, refuseTooSoon } from './polled.ts';
import { recordAdapter } from './record.ts';

const model = 'DeviceCode';

export function overrideDeviceCode(provider: Provider, tooSoon: PollsTooSoon): void {
  overrideFind(provider, model, refuseTooSoon(tooSoon));
  provider.on('device_authorization.success', (_ctx, body) => {
    Object.assign(body as object, { interval: pollSeconds });
  });
}

export const deviceCodeAdapter = (stores: Stores): Partial<Adapter> => ({
  ...recordAdapter(model, stores),
  ...codeAdapter(model, stores, {
    mayRefer: (route) => route === 'code_verification' || route === 'device_resume',
  }),
  async upsert(id, payload, expiresIn = 0) {
    const saved = await stores.records.save({
      model,
      id,
      payload: payload as RecordPayload,
      ttlSeconds: expiresIn + lifeSeconds.polledKept,
      unless: answers(payload),
    });
    if (!saved) throw new AppError('wrong_step', 'This code was used before. Ask your device for a new one.');
  },
  findByUserCode: async (code) =>
    (await stores.records.byUserCode(model, code)) as AdapterPayload | undefined,
});

/** The fields of an answer. If one of them is already stored, another answer was first and this one is refused. */
function answers({ accountId, error, inFlight }: AdapterPayload): string[] {
  if (accountId !== undefined || error !== undefined) return ['accountId', 'error'];
  return inFlight ? ['inFlight', 'accountId', 'error'] : [];
}

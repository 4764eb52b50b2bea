/**
 * oidc-provider's BackchannelAuthenticationRequest (CIBA). What it shares with other codes is in code.ts. The
 * person's answer is stored elsewhere (polled/approvals.ts).
 *
 * - `find` refuses clients that poll too often.
 * - The client's notification token is not stored here. It is kept sealed with the notification (polled/pings.ts).
 * - A request is kept for a while after it has expired, so that a client whose answer was lost can ask again.
 */

import type Provider from 'oidc-provider';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { lifeSeconds } from '../../../lifetimes.ts';
import type { RecordPayload } from '../record_store.ts';
import type { Stores } from '../stores.ts';
import { codeAdapter, overrideFind } from './code.ts';
import { type PollsTooSoon, refuseTooSoon } from './polled.ts';
import { recordAdapter } from './record.ts';

const model = 'BackchannelAuthenticationRequest';

export const overrideBackchannelRequest = (provider: Provider, tooSoon: PollsTooSoon): void =>
  overrideFind(provider, model, refuseTooSoon(tooSoon));

export const backchannelRequestAdapter = (stores: Stores): Partial<Adapter> => ({
  ...recordAdapter(model, stores),
  ...codeAdapter(model, stores),
  async upsert(id, payload, expiresIn = 0) {
    const ttlSeconds = expiresIn + lifeSeconds.polledKept;
    await stores.records.save({ model, id, payload: withoutPingToken(payload), ttlSeconds });
  },
});

const withoutPingToken = ({ params, ...payload }: AdapterPayload): RecordPayload =>
  ({ ...payload, params: params && { ...params, client_notification_token: undefined } }) as RecordPayload;

/** Initial access tokens (RFC 7591, section 1.2). Each is stored as a record where oidc-provider finds it. */
import { randomId } from '../../lib/crypto.ts';
import type { Database } from '../../storage/database.ts';
import { createRecordStore } from '../library/record_store.ts';
import { noPkcePolicy } from './registration.ts';

const model = 'InitialAccessToken';

/**
 * Makes and stores a token that is valid for `seconds` and any number of registrations. If `pkce` is false,
 * confidential clients that register with it may omit PKCE. `now`: milliseconds since the epoch.
 */
export async function makeInitialAccessToken(
  database: Database,
  { seconds, pkce }: { seconds: number; pkce: boolean },
  now: () => number,
): Promise<{ token: string; expiresAt: Date }> {
  const token = randomId(32);
  const iat = Math.floor(now() / 1000);
  const exp = iat + seconds;
  const policies = pkce ? {} : { policies: [noPkcePolicy] };
  const payload = { kind: model, jti: token, iat, exp, ...policies };
  await createRecordStore(database, now).save({ model, id: token, payload, ttlSeconds: seconds });
  return { token, expiresAt: new Date(exp * 1000) };
}

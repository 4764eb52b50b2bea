/** Initial access tokens (RFC 7591, section 1.2), as oidc-provider finds them: a record under the hash of the token. */
import { randomId } from '../../lib/crypto.ts';
import type { Database } from '../../storage/database.ts';
import { createRecordStore } from '../library/record_store.ts';
import { noPkcePolicy } from './registration.ts';

const model = 'InitialAccessToken';

/** Stores a new token, good for `seconds` and any number of registrations. `pkce` false: what registers may do without. */
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

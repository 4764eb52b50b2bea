/** Initial access tokens (RFC 7591, section 1.2), as oidc-provider finds them: a record under the hash of the token. */
import { randomId } from '../lib/crypto.ts';
import type { Database } from '../storage/database.ts';
import { createRecordStore } from './record_store.ts';

/** Stores a new token, good for `seconds` and any number of registrations. */
export async function makeInitialAccessToken(
  database: Database,
  seconds: number,
  now: () => number,
): Promise<{ token: string; expiresAt: Date }> {
  const token = randomId(32);
  const iat = Math.floor(now() / 1000);
  const exp = iat + seconds;
  const payload = { kind: 'InitialAccessToken', jti: token, iat, exp };
  await createRecordStore(database, now).save('InitialAccessToken', token, payload, seconds);
  return { token, expiresAt: new Date(exp * 1000) };
}

/**
 * The password's part of a login and of a sign-up, by OPAQUE: two messages each, the state between them kept for a
 * minute and used once. Whether a name exists never shows: not in status, shape, wording or work.
 */
import type { Accounts } from '../accounts/accounts.ts';
import type { Failures } from '../accounts/failures.ts';
import { randomId } from '../lib/crypto.ts';
import { AppError, invalidRequest } from '../lib/errors.ts';
import type { Opaque } from '../opaque/opaque.ts';
import type { Database } from '../storage/database.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Devices } from './devices.ts';

export interface PasswordDeps {
  accounts: Accounts;
  opaque: Opaque;
  failures: Failures;
  devices: Devices;
  ephemeral: Ephemeral;
  database: Database;
  now: () => number;
}

export interface Passwords {
  loginInit(uid: string, username: string, ke1: string, device: string | undefined): Promise<{ ke2: string }>;
  /** The account whose password was proved. Throws AppError 401 for everything else. */
  loginFinish(uid: string, ke3: string): Promise<string>;
  registerInit(uid: string, username: string, request: string): Promise<{ response: string }>;
  /** The new account. Throws AppError 409 where the name is taken: told only here, under the sign-up limit. */
  registerFinish(uid: string, username: string, record: string, email: string | undefined): Promise<string>;
}

const keptSeconds = 60;
const signUpSeconds = 300;

interface LoginState {
  id: string;
  expected: string;
  accountId: string | undefined;
  bucket: string;
}

interface SignUpState {
  usernameKey: string;
  credentialId: string;
}

const wrongCredentials = () => new AppError('invalid_credentials', 'Username or password is wrong.');

export function createPasswords(deps: PasswordDeps): Passwords {
  const { accounts, opaque, failures, devices, ephemeral, database, now } = deps;

  /** Marks a login state as used, for good: the cache may have had two copies of it around an outage. */
  const spend = async (query: Database['query'], id: string): Promise<boolean> => {
    const rows = await query(
      'insert into spent (id, expires_at) values ($1, $2) on conflict (id) do nothing returning id',
      [`ke2:${id}`, new Date(now() + keptSeconds * 1000)],
    );
    return rows.length === 1;
  };

  return {
    async loginInit(uid, username, ke1, device) {
      const { key } = accounts.parseUsername(username);
      const bucket = devices.bucket(key, device);
      // Charged before the work and taken back by a right KE3: a KE1 that is never followed up is a failure.
      await failures.charge(bucket);
      const account = await accounts.byUsername(key);
      const { ke2, expected } = await opaque.loginInit(ke1, account, key);
      const state: LoginState = {
        id: randomId(),
        expected,
        accountId: account?.id,
        bucket: bucket.toString('base64url'),
      };
      await ephemeral.set(`ke2:${uid}`, JSON.stringify(state), keptSeconds);
      return { ke2 };
    },

    async loginFinish(uid, ke3) {
      const text = await ephemeral.take(`ke2:${uid}`);
      if (text === undefined) throw wrongCredentials();
      const { id, expected, accountId, bucket } = JSON.parse(text) as LoginState;
      const proved = opaque.loginFinish(ke3, expected);
      if (!proved || accountId === undefined) throw wrongCredentials();
      const first = await database.transaction(async (query) => {
        if (!(await spend(query, id))) return false;
        await failures.refund(Buffer.from(bucket, 'base64url'), query);
        return true;
      });
      if (!first) throw wrongCredentials();
      return accountId;
    },

    async registerInit(uid, username, request) {
      const { key } = accounts.parseUsername(username);
      const credentialId = randomId();
      const response = await opaque.registerInit(request, credentialId);
      const state: SignUpState = { usernameKey: key, credentialId };
      await ephemeral.set(`sign-up:${uid}`, JSON.stringify(state), signUpSeconds);
      return { response };
    },

    async registerFinish(uid, username, record, email) {
      const name = accounts.parseUsername(username);
      const opaqueRecord = opaque.registerFinish(record);
      const text = await ephemeral.take(`sign-up:${uid}`);
      const state = text === undefined ? undefined : (JSON.parse(text) as SignUpState);
      if (state?.usernameKey !== name.key) throw invalidRequest('This sign-up has expired. Try once more.');
      const account = await accounts.create({
        username: name,
        email,
        credentialId: state.credentialId,
        opaqueRecord,
      });
      return account.id;
    },
  };
}

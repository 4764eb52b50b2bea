/**
 * One attempt at a code of the second factor. It is charged before it is looked at, in the commit of what comes of it, and of
 * one account only a few are under way at once.
 */
import type { Account } from '../accounts/accounts.ts';
import { AppError, TooManyFailures } from '../lib/errors.ts';
import { createFewAtOnce } from '../lib/few_at_once.ts';
import { otherTime } from '../lib/typed_code.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Browser, Buckets, CodeBuckets } from './buckets.ts';
import type { Failures } from './failures.ts';
import { otherTimesCode, wrongCode } from './refusals.ts';

export interface CodeAttemptDeps {
  failures: Pick<Failures, 'charge' | 'settle' | 'refuseBlocked'>;
  buckets: Pick<Buckets, 'ofCode'>;
  database: Database;
}

/**
 * Charges an attempt, makes it, and forgets the account's failures, in one commit. An attempt that comes to undefined was a
 * wrong code and has written nothing, and so is one that comes to `otherTime`: the charge stays. Throws AppError 401
 * `invalid_code`, 429.
 */
export type CodeAttempt = <T extends object | string>(
  account: Account,
  browser: Browser,
  attempt: (query: Query) => Promise<T | typeof otherTime | undefined>,
) => Promise<T>;

export function createCodeAttempt({ failures, buckets, database }: CodeAttemptDeps): CodeAttempt {
  const fewAtOnce = createFewAtOnce();

  async function attemptAlone<T extends object | string>(
    { own, day, networks }: CodeBuckets,
    make: (query: Query) => Promise<T | typeof otherTime | undefined>,
  ): Promise<T> {
    let charged = false;
    const made = await database
      .transaction(async (query) => {
        // With what is charged, parallel guesses wait for the end of this one.
        await failures.charge([...own, day], query);
        charged = true;
        const result = await make(query);
        if (result !== undefined && result !== otherTime)
          await failures.settle({ forget: own, refund: [day] }, query);
        return result;
      })
      .catch(async (error) => {
        // What was refused for another reason is undone, and the charge with it: it still counts.
        if (charged && error instanceof AppError && stillCounts(error)) await failures.charge([...own, day]);
        throw error;
      });
    if (made !== undefined && made !== otherTime) return made;
    if (networks.length > 0) await failures.charge(networks).catch(alreadyBlocked);
    throw made === undefined ? wrongCode() : otherTimesCode();
  }

  return (account, browser, make) => {
    const charged = buckets.ofCode(account.usernameKey, browser);
    const asker = charged.own.at(0)?.id.toString('base64url') ?? '';
    return fewAtOnce(
      { accountId: account.id, asker, isKnown: charged.isKnown },
      () => attemptAlone(charged, make),
      () => failures.refuseBlocked([...charged.own, charged.day]),
    );
  };
}

/** The network has too many failures without this one. */
function alreadyBlocked(error: unknown): void {
  if (!(error instanceof TooManyFailures)) throw error;
}

/** Whether an attempt that ended so is one of those that are limited; where storage has failed, nothing can be counted. */
const stillCounts = ({ status, code }: AppError): boolean => status < 500 || code === 'factor_unreadable';

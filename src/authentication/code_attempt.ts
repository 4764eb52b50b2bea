/**
 * One attempt at a code of the second factor. It holds the counts of failures while the code is checked, in the
 * transaction of its result. Only a few attempts at one account run concurrently.
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
  failures: Pick<Failures, 'charge' | 'forget' | 'hold' | 'refuseBlocked'>;
  buckets: Pick<Buckets, 'ofCode'>;
  database: Database;
}

/**
 * Runs an attempt in a transaction. A wrong one is charged, and a right one clears the failures of this browser or
 * network at the account. `attempt` returns undefined for a wrong code, and `otherTime` for a code of another time. What
 * it has written then is committed with the charge. Throws AppError 401 `invalid_code`, 429.
 */
export type CodeAttempt = <T extends object | string>(
  account: Account,
  browser: Browser,
  attempt: (query: Query) => Promise<T | typeof otherTime | undefined>,
) => Promise<T>;

export function createCodeAttempt({ failures, buckets, database }: CodeAttemptDeps): CodeAttempt {
  const fewAtOnce = createFewAtOnce();

  /**
   * Wrong passwords may block the browser's or network's own bucket while a code is checked. The day's bucket counts
   * the code all the same.
   */
  async function chargeWrong({ own, day }: CodeBuckets, query?: Query): Promise<void> {
    await failures.charge([day], query);
    await failures.charge(own, query).catch(alreadyBlocked);
  }

  async function attemptAlone<T extends object | string>(
    charged: CodeBuckets,
    make: (query: Query) => Promise<T | typeof otherTime | undefined>,
  ): Promise<T> {
    const { own, day, networks } = charged;
    const isRight = (result: T | typeof otherTime | undefined): result is T =>
      result !== undefined && result !== otherTime;
    let begun = false;
    const made = await database
      .transaction(async (query) => {
        // Parallel guesses wait until this attempt ends.
        await failures.hold([...own, day], query);
        begun = true;
        const result = await make(query);
        if (isRight(result)) await failures.forget(own, query);
        else await chargeWrong(charged, query);
        return result;
      })
      .catch(async (error) => {
        if (begun && error instanceof AppError && stillCounts(error)) await chargeWrong(charged);
        throw error;
      });
    if (isRight(made)) return made;
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

/** The network was blocked already, so this failure need not be counted there. */
function alreadyBlocked(error: unknown): void {
  if (!(error instanceof TooManyFailures)) throw error;
}

/** Whether an attempt that ended with this error counts. After a failure of storage nothing can be counted. */
const stillCounts = ({ status, code }: AppError): boolean => status < 500 || code === 'factor_unreadable';

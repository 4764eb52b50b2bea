/**
 * The revocation graph: account → sessions and grants → refresh families → access tokens. There is one function for
 * each node, and ending a node ends everything below it. Access tokens are stateless, so they are checked against a
 * list of what was ended (looks.ts). The callers decide why something ends, and write the audit events.
 */
import type { Database, Query } from '../storage/database.ts';
import { endSession, endSessionById } from './end_session.ts';
import {
  type EndReason,
  endAccount,
  endBegunFamily,
  endClient,
  endFamily,
  endGrant,
  endToken,
} from './ends.ts';
import { createLook } from './looks.ts';
import { type RevocableToken, type Subject, subjectsOf } from './subjects.ts';

export interface Revocations {
  /** Ends one access token. */
  endToken(jti: string): Promise<void>;
  /**
   * Ends a refresh family and its access tokens. The family may have no refresh tokens, or may not have begun yet.
   */
  endFamily(familyId: string, because: EndReason, query?: Query): Promise<void>;
  /** The same, but only if the family has begun and not ended. Otherwise nothing is stored. */
  endBegunFamily(familyId: string, because: EndReason): Promise<void>;
  /** Ends all families of a grant and all its access tokens. */
  endGrant(grantId: string, because: EndReason, query?: Query): Promise<void>;
  /** Ends all grants, codes, families and consents of an account for one client. False if there were none. */
  endClient(accountId: string, clientId: string): Promise<boolean>;
  /** Ends the session with this id, and the families that were granted for its duration. */
  endSessionById(id: string): Promise<void>;
  /**
   * Ends a session of this account, and everything that was granted for its duration, in the transaction of `query`.
   * False if the account has no such session.
   */
  endSession(accountId: string, uid: string, query: Query): Promise<boolean>;
  /** Ends all sessions, grants, codes and families of an account. With `query`, in that query's transaction. */
  endAccount(accountId: string, query?: Query): Promise<void>;
  /** The revocation subjects of an access token: everything whose end makes it invalid. */
  subjectsOf(token: RevocableToken): Subject[];
  /** True if any of the subjects is revoked. Rejects with AppError 503 if PostgreSQL cannot be asked. */
  anyRevoked(subjects: Subject[]): Promise<boolean>;
}

/** `now`: milliseconds since the epoch. */
export function createRevocations(database: Database, now: () => number): Revocations {
  const { query } = database;
  return {
    endToken: (jti) => endToken(query, jti, now()),
    endFamily: (familyId, because, on = query) => endFamily(on, familyId, because, now()),
    endBegunFamily: (familyId, because) => endBegunFamily(query, familyId, because, now()),
    endGrant: (grantId, because, on = query) => endGrant(on, grantId, because, now()),
    endClient: (accountId, clientId) => endClient(query, accountId, clientId, now()),
    endSessionById: (id) => database.transaction((on) => endSessionById(on, id, now())),
    endSession: (accountId, uid, on) => endSession(on, { accountId, uid }, now()),
    endAccount: (accountId, on = query) => endAccount(on, accountId, now()),
    subjectsOf,
    anyRevoked: createLook(database, now),
  };
}

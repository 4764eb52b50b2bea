/**
 * The one revocation graph: account → sessions and grants → refresh families → access tokens. Ending a node ends all below it,
 * and there is one function for each node here. Stateless access tokens are checked against what was ended (looks.ts). Why
 * something ends, and what the audit log says of it, is its caller's.
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
  /** Ends a refresh family and its access tokens. `family` may have no refresh token at all. */
  endFamily(familyId: string, because: EndReason, query?: Query): Promise<void>;
  /** The same where a family of this name has begun, and lives. Otherwise nothing is stored. */
  endBegunFamily(familyId: string, because: EndReason): Promise<void>;
  /** Ends all families of a grant and all its access tokens. */
  endGrant(grantId: string, because: EndReason, query?: Query): Promise<void>;
  /** Ends all grants, codes, families and consents that an account has given to one client. False where there was nothing. */
  endClient(accountId: string, clientId: string): Promise<boolean>;
  /** Ends the session with this id, and the families that were granted for its duration. */
  endSessionById(id: string): Promise<void>;
  /**
   * Ends a session of this account, and everything that was granted for its duration. Part of the transaction whose `query` is
   * given. False where the account has no such session.
   */
  endSession(accountId: string, uid: string, query: Query): Promise<boolean>;
  /** Ends all sessions, grants, codes and families of an account. Part of the transaction whose `query` is given. */
  endAccount(accountId: string, query?: Query): Promise<void>;
  /** What an access token is checked against. */
  subjectsOf(token: RevocableToken): Subject[];
  /** True where any of the subjects is revoked. Throws AppError 503 where it cannot be known. */
  anyRevoked(subjects: Subject[]): Promise<boolean>;
}

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

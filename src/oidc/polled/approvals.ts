/**
 * Requests of apps that a person answers on their account page (OpenID CIBA Core 1.0). One transaction uses the
 * person's proof, stores the answer and its grant, and releases the notification. Of several concurrent answers the
 * first wins.
 */

import type Provider from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Current } from '../../lib/current.ts';
import { AppError } from '../../lib/errors.ts';
import { lifeSeconds } from '../../lifetimes.ts';
import type { Query } from '../../storage/database.ts';
import { isIdentityScope } from '../claims/scopes.ts';
import { payloadOfGrant, rememberSession } from '../library/models/grant.ts';
import { type RecordPayload, type RecordStore, referenceTo } from '../library/record_store.ts';

const model = 'BackchannelAuthenticationRequest';

/** A request that waits for the person. */
export interface WaitingApproval {
  id: string;
  clientId: string;
  /**
   * The binding message. The app shows it too, so that the person can compare. It is the app's text and not trusted.
   */
  message: string | undefined;
  scopes: string[];
}

/** The session in which the person approves. */
export interface ApprovingSession {
  uid: string;
  acr?: string | undefined;
  amr?: string[] | undefined;
  /** When the person signed in, in unix seconds. */
  loginTs?: number | undefined;
}

export interface Approvals {
  waiting(accountId: string): Promise<WaitingApproval[]>;
  /**
   * Approves a request, in the transaction of `query`. Throws AppError 409 if it was answered before, has expired, or
   * is not for this account. Throws AppError 401 `sign_in_required` if the app requires a newer sign-in (`max_age`).
   */
  approve(query: Query, accountId: string, id: string, session: ApprovingSession): Promise<void>;
  /** Denies a request, in the transaction of `query`. Throws AppError 409 as `approve` does. */
  deny(query: Query, accountId: string, id: string): Promise<void>;
}

export interface ApprovalDeps {
  provider: Provider;
  records: Pick<RecordStore, 'byId' | 'save' | 'unanswered'>;
  resources: Current<readonly Resource[]>;
  /** Releases the notification of a request, if its client wants one. */
  releasePing(query: Query, id: string): Promise<void>;
  now: () => number;
}

interface Request extends RecordPayload {
  clientId: string;
  accountId: string;
  exp: number;
  scope: string;
  resource?: string | string[];
  claims?: object;
  iat: number;
  params?: { binding_message?: string; max_age?: string };
}

/** `now`: milliseconds since the epoch. */
export function createApprovals({ provider, records, resources, releasePing, now }: ApprovalDeps): Approvals {
  const secondsUntil = (exp: number) => exp - now() / 1000;

  async function open(query: Query, accountId: string, id: string): Promise<Request> {
    const request = (await records.byId(model, referenceTo(id), query)) as Request | undefined;
    if (request?.accountId !== accountId || secondsUntil(request.exp) <= 0) throw gone();
    return request;
  }

  async function answer(query: Query, id: string, request: Request, outcome: object): Promise<void> {
    // The answer is kept for as long as the app may poll for it.
    const ttlSeconds = secondsUntil(request.exp) + lifeSeconds.polledKept;
    const payload = { ...request, ...outcome };
    const unless = ['grantId', 'error'];
    const saved = await records.save({ model, id: referenceTo(id), payload, ttlSeconds, unless }, query);
    if (!saved) throw gone();
    await releasePing(query, id);
  }

  /** Stores a grant with exactly the requested scopes. Resolves with its id. */
  async function grantFor(
    query: Query,
    { accountId, clientId, scope, resource = [] }: Request,
    sessionUid: string,
  ): Promise<string> {
    const grant = new provider.Grant({ accountId, clientId });
    rememberSession(grant, sessionUid);
    const scopes = scope.split(' ');
    grant.addOIDCScope(scopes.filter(isIdentityScope).join(' '));
    for (const audience of [resource].flat()) {
      const known = resources.current().find((entry) => entry.audience === audience)?.scopes ?? [];
      grant.addResourceScope(audience, scopes.filter((each) => known.includes(each)).join(' '));
    }
    const { id, payload, exp } = await payloadOfGrant(grant);
    await records.save({ model: 'Grant', id, payload, ttlSeconds: secondsUntil(exp) }, query);
    return id;
  }

  /**
   * Whether the sign-in is older than `max_age` allows (OpenID Connect Core, section 3.1.2.1). A sign-in after the
   * request was made always counts.
   */
  function isTooOld({ iat, params }: Request, { loginTs = 0 }: ApprovingSession): boolean {
    const maxAge = params?.max_age;
    return maxAge !== undefined && loginTs < iat && now() / 1000 - loginTs > Number(maxAge);
  }

  return {
    async waiting(accountId) {
      const found = await waitingRequests(records, accountId, now);
      return found.map(({ idHash, clientId, params, scope }) => ({
        id: idHash,
        clientId,
        message: params?.binding_message,
        scopes: scope.split(' '),
      }));
    },
    async approve(query, accountId, id, session) {
      const request = await open(query, accountId, id);
      if (isTooOld(request, session)) throw newerSignInRequired();
      await answer(query, id, request, {
        grantId: await grantFor(query, request, session.uid),
        acr: session.acr,
        amr: session.amr,
        // The time of the sign-in. The approval itself proves only the second factor.
        authTime: session.loginTs,
        sessionUid: session.uid,
        expiresWithSession: !request.scope.split(' ').includes('offline_access') || undefined,
      });
    },
    async deny(query, accountId, id) {
      const error = { error: 'access_denied', errorDescription: 'the person denied the request' };
      await answer(query, id, await open(query, accountId, id), error);
    },
  };
}

const newerSignInRequired = (): AppError =>
  new AppError(
    'sign_in_required',
    'This app asks for a newer sign-in than yours. Sign in again, then answer the request.',
  );

/** The unexpired and unanswered requests to an account. `now`: milliseconds since the epoch. */
export async function waitingRequests(
  records: Pick<RecordStore, 'unanswered'>,
  accountId: string,
  now: () => number,
): Promise<(Request & { idHash: string })[]> {
  const found = await records.unanswered(model, accountId, ['grantId', 'error']);
  return found
    .map(({ idHash, payload }) => ({ ...(payload as Request), idHash }))
    .filter(({ exp }) => exp > now() / 1000);
}

const gone = (): AppError =>
  new AppError(
    'wrong_step',
    'This request was answered before, or has expired. Ask for it again in the app.',
  );

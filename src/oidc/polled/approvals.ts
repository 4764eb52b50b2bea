/**
 * Requests of apps that a person answers on their account page (OpenID CIBA Core 1.0). An answer is one transaction with
 * the proof that it took, the grant that it gives and the notification that it sets free: of parallel answers the first
 * counts.
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
  /** What the app shows as well, for comparison; the app's words, not trusted. */
  message: string | undefined;
  scopes: string[];
}

/** How the person who approves is signed in. */
export interface ApprovingSession {
  uid: string;
  acr?: string | undefined;
  amr?: string[] | undefined;
  /** When the password was proved, in unix seconds. */
  loginTs?: number | undefined;
}

export interface Approvals {
  waiting(accountId: string): Promise<WaitingApproval[]>;
  /**
   * Throws AppError 409 where it was answered before or is no request to this account, 401 `sign_in_required` where the app asks
   * for a newer sign-in (`max_age`).
   */
  approve(query: Query, accountId: string, id: string, session: ApprovingSession): Promise<void>;
  deny(query: Query, accountId: string, id: string): Promise<void>;
}

export interface ApprovalDeps {
  provider: Provider;
  records: Pick<RecordStore, 'byId' | 'save' | 'unanswered'>;
  resources: Current<readonly Resource[]>;
  /** Lets the notification of a request go, where its client wants one. */
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

export function createApprovals({ provider, records, resources, releasePing, now }: ApprovalDeps): Approvals {
  const secondsUntil = (exp: number) => exp - now() / 1000;

  async function open(query: Query, accountId: string, id: string): Promise<Request> {
    const request = (await records.byId(model, referenceTo(id), query)) as Request | undefined;
    if (request?.accountId !== accountId || secondsUntil(request.exp) <= 0) throw gone();
    return request;
  }

  async function answer(query: Query, id: string, request: Request, outcome: object): Promise<void> {
    // As long as the app may ask for it.
    const ttlSeconds = secondsUntil(request.exp) + lifeSeconds.polledKept;
    const payload = { ...request, ...outcome };
    const unless = ['grantId', 'error'];
    const saved = await records.save({ model, id: referenceTo(id), payload, ttlSeconds, unless }, query);
    if (!saved) throw gone();
    await releasePing(query, id);
  }

  /** What was asked for, and nothing else. */
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

  /** Somebody who signed in after the request was made has been asked to (OpenID Connect Core, section 3.1.2.1). */
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
        // When the password was proved; the code that was given now is a proof of the factor alone.
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

/** The live requests to an account that nobody has answered. */
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

/**
 * oidc-provider's models and where each of them lives: sessions, refresh families and records in PostgreSQL, what is
 * short-lived in the cache, access tokens nowhere. Whatever may be used once throws for all but one of its users; a poll that
 * comes again is still of the same one.
 */

import type { Adapter, AdapterPayload } from 'oidc-provider';
import Provider, { errors } from 'oidc-provider';
import { cookieNames } from '../../lib/cookies.ts';
import { sha256 } from '../../lib/crypto.ts';
import { AppError } from '../../lib/errors.ts';
import { lifeSeconds } from '../../lifetimes.ts';
import type { Revocations } from '../../revocation/revocations.ts';
import type { SeenFrom, SessionPayload, SessionStore } from '../../sessions/store.ts';
import type { Query } from '../../storage/database.ts';
import type { Ephemeral } from '../../storage/ephemeral.ts';
import { type Registrations, registrationAdapter } from '../clients/registration.ts';
import { withholdSessionCookie } from '../session/session_cookie.ts';
import { gather, isAuthorization, takeGathered } from './authorization_writes.ts';
import { familyInQuestion, familyOf } from './family.ts';
import { refuseSecondAnswer } from './models/pushed_request.ts';
import { takeKept } from './read_ahead.ts';
import { isReference, polledModels, type RecordPayload, type RecordStore } from './record_store.ts';
import { holdCode, holdUsedCode, isTokenRequest } from './token_commit.ts';

export interface Stores {
  sessions: SessionStore;
  records: RecordStore;
  revocations: Revocations;
  ephemeral: Ephemeral;
  registrations: Registrations;
  readAhead: Query;
  /** The widest network of a client's address: what it has begun is of one owner. */
  networkOf(address: string): string;
}

/** The adapter of one model, by the model's name. */
export function createAdapter(stores: Stores): (model: string) => Adapter {
  return (model) => ({ ...unsupported(model), ...adapterOf(model, stores) });
}

function adapterOf(model: string, stores: Stores): Partial<Adapter> {
  switch (model) {
    case 'Session':
      return sessionAdapter(stores.sessions);
    case 'AccessToken':
    case 'ClientCredentials':
      return statelessAdapter(stores.revocations);
    case 'RefreshToken':
      // Its tokens are found, saved and ended by models/refresh_token.ts.
      return {};
    case 'Client':
      return registrationAdapter(stores.registrations);
    case 'Interaction':
      return ephemeralAdapter(model, stores);
    case 'PushedAuthorizationRequest':
      // Used up by the commit of its answer (models/pushed_request.ts).
      return { ...ephemeralAdapter(model, stores), consume: async () => {} };
    case 'Grant':
      return authorizationAdapter(model, stores);
    case 'AuthorizationCode':
      return { ...authorizationAdapter(model, stores), ...codeAdapter(model, stores, stores.readAhead) };
    case 'DeviceCode':
    case 'BackchannelAuthenticationRequest':
      return { ...recordAdapter(model, stores), ...codeAdapter(model, stores) };
    default:
      return recordAdapter(model, stores);
  }
}

function sessionAdapter(sessions: SessionStore): Partial<Adapter> {
  return {
    async upsert(_id, payload, expiresIn = 0) {
      const saving = sessions.save(payload as SessionPayload, expiresIn, seenFrom(), takeGathered());
      const outcome = await saving.catch(refuseSecondAnswer);
      if (outcome === 'saved') return;
      const { ctx } = Provider;
      // It would name a session that is not stored, in place of the one that the browser may have by now.
      if (ctx) withholdSessionCookie(ctx);
      // Whoever was signed out while an app was being authorized must not receive what was made for it.
      if (outcome === 'refused' && isAuthorization()) throw signedOut();
    },
    find: async (id) => (await sessions.byId(id)) as AdapterPayload | undefined,
    findByUid: async (uid) =>
      (takeKept('Session', uid) ?? (await sessions.byUid(uid))) as AdapterPayload | undefined,
    destroy: (id) => sessions.end(id),
  };
}

const signedOut = (): AppError =>
  new AppError(
    'sign_in_required',
    'You were signed out in the meantime. Go back to the app and sign in again.',
  );

/** Where the request that is being handled comes from. */
function seenFrom(): SeenFrom {
  const ctx = Provider.ctx;
  if (!ctx) return {};
  const { device } = cookieNames(ctx.secure);
  // Before the dot is the device's id, after it the proof that belongs to the account.
  return {
    address: ctx.ip,
    userAgent: ctx.get('user-agent'),
    device: ctx.cookies.get(device)?.split('.')[0],
  };
}

/** Nothing is stored when an access token is made; destroying one is a revocation. */
function statelessAdapter(revocations: Revocations): Partial<Adapter> {
  return {
    destroy(jti) {
      // With its family, at once: were the token ended first and the family then not, a repetition would find no token to
      // revoke and say that all is done.
      const family = familyInQuestion();
      return family === undefined ? revocations.endToken(jti) : revocations.endFamily(family, 'revoked');
    },
  };
}

function ephemeralAdapter(
  model: string,
  { ephemeral, networkOf }: Pick<Stores, 'ephemeral' | 'networkOf'>,
): Partial<Adapter> {
  const key = (id: string) => `${model}:${sha256(id)}`;
  return {
    upsert(id, { jti: _, ...payload }, expiresIn = 0) {
      const owner = Provider.ctx && networkOf(Provider.ctx.ip);
      return ephemeral.put(key(id), JSON.stringify(withoutSessionId(payload)), expiresIn, owner);
    },
    async find(id) {
      const text = await ephemeral.get(key(id));
      return text === undefined ? undefined : { ...(JSON.parse(text) as AdapterPayload), jti: id };
    },
    // The one that is destroyed is a sign-in on its way back to the app: of parallel requests one goes on.
    async destroy(id) {
      if ((await ephemeral.take(key(id))) === undefined) throw new errors.SessionNotFound('used before');
    },
  };
}

/** The library notes the session's id in an interaction and never reads it there; a dump is to hold no such id. */
function withoutSessionId(payload: AdapterPayload): AdapterPayload {
  const { session } = payload;
  return session ? { ...payload, session: { ...session, cookie: undefined } } : payload;
}

/** What an authorization makes is written with its session, and read with its code. */
function authorizationAdapter(model: string, stores: Stores): Partial<Adapter> {
  const { records } = stores;
  return {
    ...recordAdapter(model, stores),
    async find(id) {
      const found = takeKept('Grant', id) ?? (await records.byId(model, id));
      return found && ({ ...found, jti: id } as AdapterPayload);
    },
    async upsert(id, payload, expiresIn = 0) {
      const record = [model, id, payload as RecordPayload, expiresIn] as const;
      if (!gather(records.saving(...record))) await records.save(...record);
    },
  };
}

function recordAdapter(model: string, { records }: Pick<Stores, 'records'>): Partial<Adapter> {
  return {
    async upsert(id, payload, expiresIn = 0) {
      const unless = answers(payload);
      const seconds = expiresIn + (polledModels.has(model) ? lifeSeconds.polledKept : 0);
      if (await records.save(model, id, withoutPingToken(payload) as RecordPayload, seconds, unless)) return;
      throw new AppError('wrong_step', 'This code was used before. Ask your device for a new one.');
    },
    find: async (id) => (await records.byId(model, id)) as AdapterPayload | undefined,
    findByUserCode: async (code) => (await records.byUserCode(model, code)) as AdapterPayload | undefined,
    destroy: (id) => records.remove(model, id),
    // Where one family ends, the grant's other codes live on; and a used one must be known when it is presented again.
    async revokeByGrantId(grantId) {
      if (familyInQuestion() === undefined) await records.removeOfGrant(model, grantId);
    },
  };
}

/**
 * What tokens are first issued for. It is used up by the commit of the whole request (token_commit.ts), which a request that
 * is refused never reaches: what was denied is therefore told at every poll. `query` reads it at the token endpoint.
 */
function codeAdapter(
  model: string,
  { records, revocations }: Stores,
  query?: Query,
): Pick<Adapter, 'find' | 'consume'> {
  return {
    async find(id) {
      if (isReference(id) && !userCodeRoutes.has(Provider.ctx?.oidc?.route ?? '')) return undefined;
      const found = await records.byId(model, id, query);
      if (isTokenRequest()) {
        if (!found) holdUsedCode(() => revocations.endBegunFamily(familyOf(id), 'revoked'));
        else if (found.used) holdUsedCode(() => revocations.endFamily(familyOf(id), 'revoked'));
      }
      return found as AdapterPayload | undefined;
    },
    async consume(id) {
      holdCode({
        use: (hand) => records.using(model, id, hand),
        endTokens: () => revocations.endFamily(familyOf(id), 'revoked'),
      });
    },
  };
}

/** What a client wants to be told with is kept sealed, with what it is to be told (deliveries/). */
function withoutPingToken(payload: AdapterPayload): AdapterPayload {
  const { kind, params } = payload;
  if (kind !== 'BackchannelAuthenticationRequest' || !params) return payload;
  return { ...payload, params: { ...params, client_notification_token: undefined } };
}

/** Where a device's code is known by what the person typed; elsewhere it comes from outside. */
const userCodeRoutes = new Set(['code_verification', 'device_resume']);

/** Of a device code: the fields of which the first to be stored counts, whoever else answers at the same time. */
function answers({ kind, accountId, error, inFlight }: AdapterPayload): string[] {
  if (kind !== 'DeviceCode') return [];
  if (accountId !== undefined || error !== undefined) return ['accountId', 'error'];
  return inFlight ? ['inFlight', 'accountId', 'error'] : [];
}

/** What a model is not expected to be asked for fails loudly instead of pretending to have worked. */
function unsupported(model: string): Adapter {
  const refuse = (operation: string) => async (): Promise<never> => {
    throw new Error(`${model} has no ${operation}`);
  };
  return {
    upsert: refuse('upsert'),
    find: refuse('find'),
    findByUid: refuse('findByUid'),
    findByUserCode: refuse('findByUserCode'),
    consume: refuse('consume'),
    destroy: refuse('destroy'),
    revokeByGrantId: refuse('revokeByGrantId'),
  };
}

/**
 * What the sign-in pages need from oidc-provider: which request is waiting, for which client, and functions that hand
 * the result back. A request is bound to its browser by the library's signed interaction cookie and by our own cookie
 * (session/browser_binding.ts). The routes and the proofs of a sign-in are not here.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';
import { errors } from 'oidc-provider';
import type { Consents } from '../../consents/consents.ts';
import { AppError } from '../../lib/errors.ts';
import { mfaAcr, scopeOfClaim } from '../claims/claims.ts';
import type { AppNames } from '../clients/client_names.ts';
import { newGrant, rememberSession } from '../library/models/grant.ts';
import { type Detail, requestedDetails } from '../requests/authorization_details.ts';
import type { BrowserBinding } from '../session/browser_binding.ts';
import { type ConsentDetails, consentsIn, identityIsProven } from './consent.ts';
import { promptForAnother } from './prompts.ts';

/** A waiting request, as the library stores it. */
type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

export interface ClientView {
  id: string;
  name: string;
  firstParty: boolean;
  uri: string | undefined;
  logoUri: string | undefined;
  policyUri: string | undefined;
  tosUri: string | undefined;
}

/** An authorization request that waits for a person. */
export interface WaitingRequest {
  uid: string;
  prompt: 'login' | 'consent';
  /**
   * The library's name of the prompt that has to be answered. `create`: the app asks for a new account.
   * `select_account`: the person may choose another account than the one that is signed in.
   */
  promptName: (typeof promptNames)[number];
  client: ClientView;
  /** The redirect URI of the app. Empty in the device flow. */
  redirectUri: string;
  loginHint: string | undefined;
  /** The account that is signed in. Undefined before the login. */
  accountId: string | undefined;
  /** The session of that account, as it was when this interaction began. */
  session: { accountId: string; uid: string } | undefined;
  /**
   * Scopes for the consent page: those of the person's data, those of APIs, and those of individually requested
   * claims.
   */
  scopes: string[];
  /** The requested authorization details (RFC 9396). */
  details: Detail[];
  /** Where the browser continues after the answer. */
  returnTo: string;
  /** Whether it was answered, but the browser has not continued yet. */
  answered: boolean;
  /** Whether nobody was signed in when it was begun. Always false in the device flow. */
  begunSignedOut: boolean;
}

export interface Interactions {
  /** Undefined if no such client is registered. */
  clientOf(clientId: string): Promise<ClientView | undefined>;
  /** The request that waits in this browser under this uid. Throws AppError 400 `interaction_expired`. */
  waiting(req: IncomingMessage, res: ServerResponse, uid: string): Promise<WaitingRequest>;
  /**
   * Hands over a completed login. Resolves with the address where the browser continues. `amr`: the methods that were
   * used. `endedOthersAt`: set if this login has ended everything else of the account, in milliseconds since the
   * epoch. Throws AppError 400 `interaction_expired`.
   */
  finishLogin(
    req: IncomingMessage,
    res: ServerResponse,
    waiting: Pick<WaitingRequest, 'promptName'>,
    login: { accountId: string; amr: string[]; endedOthersAt?: number | undefined },
  ): Promise<string>;
  /**
   * Where the browser continues if `waiting` has refused because the session has ended or now belongs to another
   * person. Undefined for any other refusal.
   */
  restart(expired: AppError, uid: string): Promise<string | undefined>;
  /**
   * Hands over the answer to the consent page. Resolves with the address where the browser continues. Throws AppError
   * 400 `interaction_expired`, or 409 `wrong_step` if consent is not what the request waits for.
   */
  finishConsent(req: IncomingMessage, res: ServerResponse, allowed: boolean): Promise<string>;
  /**
   * Leads the request that waits for consent to the sign-in page, for another account. Resolves with the address
   * where the browser continues. Throws AppError 400 `interaction_expired`.
   */
  chooseAccount(req: IncomingMessage, res: ServerResponse): Promise<string>;
}

/** The library's error descriptions for a request whose session has ended or belongs to another person. */
const sessionGone = new Set(['session not found', 'session principal changed']);

/** The prompts for which we have pages. */
const promptNames = ['login', 'create', 'select_account', 'consent'] as const;

interface InteractionsDeps {
  consents: Pick<Consents, 'remember'>;
  binding: Pick<BrowserBinding, 'holds'>;
  nameOf: AppNames;
}

/** `now`: milliseconds since the epoch. */
export function createInteractions(
  provider: Provider,
  deps: InteractionsDeps,
  now: () => number,
): Interactions {
  const details = (req: IncomingMessage, res: ServerResponse) =>
    orExpired(provider.interactionDetails(req, res));
  const clientOf = (clientId: string, answerUri?: string) =>
    clientView(provider, deps.nameOf, { clientId, answerUri });

  return {
    clientOf: (clientId) => clientOf(clientId),
    async waiting(req, res, uid) {
      const interaction = await details(req, res);
      const promptName = promptNames.find((name) => name === interaction.prompt.name);
      if (interaction.uid !== uid || !promptName || !deps.binding.holds(req.headers.cookie, uid))
        throw expired('This sign-in has expired. Go back to the app and sign in again.');
      const { params } = interaction;
      const client = await clientOf(String(params.client_id), String(params.redirect_uri ?? ''));
      if (!client) throw expired('The app that asked for this sign-in is gone.');
      return waitingRequest(interaction, promptName, client);
    },

    async restart({ cause }, uid) {
      const isOfSession =
        cause instanceof errors.SessionNotFound && sessionGone.has(String(cause.error_description));
      return isOfSession ? (await provider.Interaction.find(uid))?.returnTo : undefined;
    },

    finishLogin(req, res, { promptName }, { accountId, amr, endedOthersAt }) {
      // Logins have whole seconds, and none up to the end of everything counts. So this login gets the next second.
      const seconds = endedOthersAt === undefined ? now() / 1000 : endedOthersAt / 1000 + 1;
      const login = { accountId, amr, acr: mfaAcr, ts: Math.floor(seconds) };
      const result = { [promptName]: {}, login };
      return orExpired(provider.interactionResult(req, res, result, { mergeWithLastSubmission: false }));
    },

    async finishConsent(req, res, allowed) {
      const result = allowed
        ? { consent: await grantAsked(provider, deps, await details(req, res)) }
        : { error: 'access_denied', error_description: 'The request was denied.' };
      return orExpired(provider.interactionResult(req, res, result, { mergeWithLastSubmission: allowed }));
    },

    async chooseAccount(req, res) {
      const interaction = await details(req, res);
      interaction.params.prompt = promptForAnother(interaction.params.prompt);
      await interaction.save(interaction.exp - Math.floor(now() / 1000));
      return orExpired(provider.interactionResult(req, res, {}, { mergeWithLastSubmission: false }));
    },
  };
}

const expired = (message: string, cause?: unknown): AppError =>
  new AppError('interaction_expired', message, { cause });

/** Turns a missing interaction into AppError 400. It may have expired, or its short-lived state may be lost. */
async function orExpired<T>(look: Promise<T>): Promise<T> {
  try {
    return await look;
  } catch (error) {
    if (!(error instanceof errors.SessionNotFound)) throw error;
    throw expired(
      'This sign-in has expired or was begun in another browser. Go back to the app and sign in again.',
      error,
    );
  }
}

async function clientView(
  provider: Provider,
  nameOf: AppNames,
  { clientId, answerUri }: { clientId: string; answerUri: string | undefined },
): Promise<ClientView | undefined> {
  const client = await provider.Client.find(clientId);
  return (
    client && {
      id: client.clientId,
      name: await nameOf(client, answerUri),
      firstParty: client.first_party === true,
      uri: client.clientUri,
      logoUri: client.logoUri,
      policyUri: client.policyUri,
      tosUri: client.tosUri,
    }
  );
}

function waitingRequest(
  interaction: Interaction,
  promptName: WaitingRequest['promptName'],
  client: ClientView,
): WaitingRequest {
  const { uid, prompt, params, session, returnTo, result } = interaction;
  const { deviceCode } = interaction as { deviceCode?: string };
  const missing = prompt.details as ConsentDetails;
  return {
    uid,
    prompt: promptName === 'consent' ? 'consent' : 'login',
    promptName,
    client,
    redirectUri: String(params.redirect_uri ?? ''),
    loginHint: typeof params.login_hint === 'string' ? params.login_hint : undefined,
    accountId: session?.accountId,
    session: session && { accountId: session.accountId, uid: session.uid },
    scopes: [
      ...new Set([
        ...(missing.missingOIDCScope ?? []),
        ...Object.values(missing.missingResourceScopes ?? {}).flat(),
        ...(missing.missingOIDCClaims ?? []).map(scopeOfClaim),
      ]),
    ],
    details: requestedDetails(params) ?? [],
    returnTo,
    answered: result !== undefined,
    begunSignedOut: session === undefined && deviceCode === undefined,
  };
}

/** Grants what the person was asked for, and remembers it if that is safe. Resolves with the result of the prompt. */
async function grantAsked(
  provider: Provider,
  { consents }: Pick<InteractionsDeps, 'consents'>,
  { prompt, params, session, grantId }: Interaction,
): Promise<{ grantId?: string }> {
  if (prompt.name !== 'consent' || !session)
    throw new AppError('wrong_step', 'There is nothing to allow now.');
  const { accountId, uid: sessionUid } = session;
  const client = await provider.Client.find(String(params.client_id));
  if (!client) throw new AppError('wrong_step', 'This app is not registered any more.');
  const grant =
    (grantId ? await provider.Grant.find(grantId) : undefined) ?? newGrant(provider, accountId, client);
  rememberSession(grant, sessionUid);
  const missing = prompt.details as ConsentDetails;
  if (missing.missingOIDCScope) grant.addOIDCScope(missing.missingOIDCScope.join(' '));
  if (missing.missingOIDCClaims) grant.addOIDCClaims(missing.missingOIDCClaims);
  for (const [audience, scopes] of Object.entries(missing.missingResourceScopes ?? {}))
    grant.addResourceScope(audience, scopes.join(' '));
  // Authorization details belong to this request only. They replace those of an earlier request.
  const asked = requestedDetails(params);
  if (asked) Object.assign(grant, { rar: asked });
  if (identityIsProven(client, params.redirect_uri as string | undefined))
    await consents.remember(accountId, client.clientId, consentsIn(missing));
  const saved = await grant.save();
  return grantId ? {} : { grantId: saved };
}

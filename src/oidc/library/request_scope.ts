/**
 * What is known and remembered of one request at the library's endpoints. The library hands no request to its models and
 * adapters: it keeps an ambient one, which this file alone reads. A scope is opened by the first step of each route
 * (routes/routes.ts) and hangs on the request's context, with which it goes: the values of a WeakMap would outlive it
 * (lib/request_memory.ts).
 */
import type { Context } from 'koa';
import Provider, { type Client, type KoaContextWithOIDC } from 'oidc-provider';
import type { AppError } from '../../lib/errors.ts';
import { requestMemory } from '../../lib/request_memory.ts';
import type { Statement } from '../../storage/statement.ts';
import { familyOf } from '../tokens/family.ts';
import type { Use } from './record_store.ts';

/** The library's names of its endpoints, as far as something depends on them. */
export type Route =
  | 'authorization'
  | 'backchannel_authentication'
  | 'client_update'
  | 'code_verification'
  | 'device_authorization'
  | 'device_resume'
  | 'end_session_confirm'
  | 'introspection'
  | 'pushed_authorization_request'
  | 'resume'
  | 'revocation'
  | 'token'
  | 'userinfo';

/** What the library has found for a request so far, by the names of its models. */
export interface Entities {
  AccessToken?: InFamily & Bound;
  RefreshToken?: InFamily;
  AuthorizationCode?: { jti: string; codeChallenge?: string };
  DeviceCode?: { jti: string };
  BackchannelAuthenticationRequest?: { jti: string };
  PushedAuthorizationRequest?: { jti: string };
  Interaction?: { parJti?: string };
}

/** A token or code of the library. `familyId` is set by our own `find` and `save`. */
export interface InFamily {
  familyId?: string | undefined;
}

/** The thumbprints of the key and of the certificate that a token is bound to. */
export interface Bound {
  jkt?: string;
  'x5t#S256'?: string;
}

/** A code that is presented and unused, for all that is known before the commit. */
export interface HeldCode {
  /** Its use by this presentation. `hand`: by what a repetition is known to come from the same client. */
  use(hand: string | undefined): Use;
  /** Ends what came of another use of it. */
  endTokens(): Promise<void>;
}

/** What a checked token says of its grant. */
export interface CheckedGrant {
  jti: string;
  clientId: string;
  accountId: string;
  iat: number;
  exp: number;
}

export class RequestScope {
  readonly ctx: KoaContextWithOIDC;
  readonly route: Route;
  /** What was read ahead and is not asked for yet (read_ahead.ts). */
  kept: Map<string, unknown> | undefined = undefined;
  /** The code that the commit of a token request uses up (token_commit.ts). */
  code: HeldCode | undefined = undefined;
  /** Writes the refresh token, with the use of the code that it is for. Resolves with the token's text. */
  writeRefreshToken: ((use: Use | undefined) => Promise<string>) | undefined = undefined;
  /** Ends what came of a code that was used before this request. */
  endUsed: (() => Promise<void>) | undefined = undefined;
  /** The id of the pushed request that is answered (models/pushed_request.ts). */
  answeredPush: string | undefined = undefined;
  /** What the session's cookie names was not stored: it stays out of the answer. */
  withholdsSessionCookie = false;
  /** 429 where this request was to cause more outgoing requests than its address may. */
  refusal: AppError | undefined = undefined;
  /** The library asks each model in turn whether a token is one of its own: it is opened once for all of them. */
  opened: { token: string; opening: Promise<unknown> } | undefined = undefined;
  /** The grant that the token of an introspection stands for (models/grant.ts). */
  checkedGrant: CheckedGrant | undefined = undefined;

  /** What an authorization has stored so far. */
  #gathered: Statement[] = [];

  constructor(ctx: KoaContextWithOIDC) {
    this.ctx = ctx;
    this.route = ctx.oidc.route as Route;
  }

  get client(): Client | undefined {
    return this.ctx.oidc.client;
  }

  get entities(): Entities {
    return this.ctx.oidc.entities as unknown as Entities;
  }

  get isTokenRequest(): boolean {
    return this.route === 'token';
  }

  /** Whether the request may end with something that is granted to an app. */
  get isAuthorization(): boolean {
    return this.route === 'authorization' || this.route === 'resume';
  }

  /**
   * Keeps the statement for the end of an authorization; false where this request is none. The library saves a grant, a code
   * and the session one after the other, the session last and before anything is answered: the others wait for it here.
   */
  gather(statement: Statement): boolean {
    if (this.isAuthorization) this.#gathered.push(statement);
    return this.isAuthorization;
  }

  /** What has been gathered; it is the caller's to write, before the answer. */
  takeGathered(): Statement[] {
    const gathered = this.#gathered;
    this.#gathered = [];
    return gathered;
  }

  /** Whether something is still to be written. Nothing may be answered then. */
  get isUnsettled(): boolean {
    return this.code !== undefined || this.writeRefreshToken !== undefined;
  }

  /** The device code or CIBA request that is polled for. */
  get polledCode(): string | undefined {
    const { DeviceCode, BackchannelAuthenticationRequest } = this.entities;
    return (DeviceCode ?? BackchannelAuthenticationRequest)?.jti;
  }

  /**
   * The refresh family that a request at the token or revocation endpoint is about. Undefined where it is about something
   * wider, such as a sign-out.
   */
  get family(): string | undefined {
    if (this.route !== 'token' && this.route !== 'revocation') return undefined;
    const { AuthorizationCode, RefreshToken, AccessToken } = this.entities;
    const source = AuthorizationCode?.jti ?? this.polledCode;
    return (
      RefreshToken?.familyId ?? (source === undefined ? undefined : familyOf(source)) ?? AccessToken?.familyId
    );
  }
}

const scopes = requestMemory<RequestScope>('oidc request');

/** Opens the scope of a request whose route is known. */
export function openScope(ctx: KoaContextWithOIDC): void {
  scopes.set(ctx, new RequestScope(ctx));
}

/** The scope of this request; undefined before its route is known, and where that is none of the library's. */
export const scopeOf = (ctx: object): RequestScope | undefined => scopes.get(ctx);

/** The scope of the request that the library is handling; undefined where it is asked by another part of the server. */
export function currentScope(): RequestScope | undefined {
  const ctx: Context | undefined = Provider.ctx;
  return ctx && scopes.get(ctx);
}

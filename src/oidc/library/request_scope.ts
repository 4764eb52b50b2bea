/**
 * State of one request at the library's endpoints. The library passes no request to its models and adapters. It keeps
 * the current one in an ambient context, which only this file reads. The first step of each route opens a scope. The
 * scope is a property of the request's context and is freed with it; in a WeakMap it would be kept longer
 * (lib/request_memory.ts).
 */
import type { Context } from 'koa';
import Provider, { type Client, type KoaContextWithOIDC } from 'oidc-provider';
import type { AppError } from '../../lib/errors.ts';
import { requestMemory } from '../../lib/request_memory.ts';
import type { Statement } from '../../storage/statement.ts';
import { familyOf } from '../tokens/family.ts';
import type { Use } from './record_store.ts';

/** The library's names for its endpoints. Only those that our code compares with are listed. */
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

/** What the library has found for a request so far, by model name. */
export interface Entities {
  AccessToken?: InFamily & Bound;
  RefreshToken?: InFamily;
  AuthorizationCode?: { jti: string; codeChallenge?: string };
  DeviceCode?: { jti: string };
  BackchannelAuthenticationRequest?: { jti: string };
  PushedAuthorizationRequest?: { jti: string };
  Interaction?: { parJti?: string };
}

/** A token of the library. Our `find` and `save` set `familyId`. */
export interface InFamily {
  familyId?: string | undefined;
}

/** The thumbprints of the DPoP key and of the certificate that a token is bound to. */
export interface Bound {
  jkt?: string;
  'x5t#S256'?: string;
}

/** A presented code. It was unused when it was read; only the commit decides whether it still is. */
export interface HeldCode {
  /** Prepares its use by this request. `hand` identifies the client, so that its repetition is recognized. */
  use(hand: string | undefined): Use;
  /** Ends the tokens that another use of the code has produced. */
  endTokens(): Promise<void>;
}

/** What a verified access token says about its grant. */
export interface CheckedGrant {
  jti: string;
  clientId: string;
  accountId: string;
  iat: number;
  exp: number;
}

/** The state of one request. Models, adapters and steps read and write its fields. */
export class RequestScope {
  readonly ctx: KoaContextWithOIDC;
  readonly route: Route;
  /** What was read ahead and has not been handed over yet (read_ahead.ts). */
  kept: Map<string, unknown> | undefined = undefined;
  /** The code that the commit of a token request will use. */
  code: HeldCode | undefined = undefined;
  /** Stores the refresh token together with the use of its code. Resolves with the token's text. */
  writeRefreshToken: ((use: Use | undefined) => Promise<string>) | undefined = undefined;
  /** Ends the tokens of a code that was used before this request. */
  endUsed: (() => Promise<void>) | undefined = undefined;
  /** The id of the pushed request that is being answered. */
  answeredPush: string | undefined = undefined;
  /** True if the session was not stored. Then its cookie is left out of the answer. */
  withholdsSessionCookie = false;
  /** The refusal (429) of an outgoing request that this request wanted to cause beyond its address's limit. */
  refusal: AppError | undefined = undefined;
  /** The token that was opened last. The library asks each model for the same token, and it is opened only once. */
  opened: { token: string; opening: Promise<unknown> } | undefined = undefined;
  /** The grant of the token that is being introspected, as the token states it. */
  checkedGrant: CheckedGrant | undefined = undefined;

  /** The writes of an authorization that wait for its last one. */
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

  /** Whether the request may end with an authorization response to an app. */
  get isAuthorization(): boolean {
    return this.route === 'authorization' || this.route === 'resume';
  }

  /**
   * Keeps the statement for the commit of an authorization. False if this request is not an authorization. The
   * library saves a grant, a code and then the session, before it answers. The first two wait here, so all share one
   * commit.
   */
  gather(statement: Statement): boolean {
    if (this.isAuthorization) this.#gathered.push(statement);
    return this.isAuthorization;
  }

  /** Hands over the gathered statements. The caller must write them before the answer is sent. */
  takeGathered(): Statement[] {
    const gathered = this.#gathered;
    this.#gathered = [];
    return gathered;
  }

  /** Whether a code or refresh token is still to be written. Then the request must not be answered with success. */
  get isUnsettled(): boolean {
    return this.code !== undefined || this.writeRefreshToken !== undefined;
  }

  /** The device code or CIBA request that the client polls with. */
  get polledCode(): string | undefined {
    const { DeviceCode, BackchannelAuthenticationRequest } = this.entities;
    return (DeviceCode ?? BackchannelAuthenticationRequest)?.jti;
  }

  /**
   * The refresh family that a request at the token or revocation endpoint is about. Undefined at other endpoints,
   * such as a sign-out, which may end whole grants.
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

/** Opens the scope of a request. `ctx.oidc.route` must be set. */
export function openScope(ctx: KoaContextWithOIDC): void {
  scopes.set(ctx, new RequestScope(ctx));
}

/** The scope of this request. Undefined before its route is known, and for routes that are not the library's. */
export const scopeOf = (ctx: object): RequestScope | undefined => scopes.get(ctx);

/**
 * The scope of the request that the library is handling. Undefined if another part of the server calls the library.
 */
export function currentScope(): RequestScope | undefined {
  const ctx: Context | undefined = Provider.ctx;
  return ctx && scopes.get(ctx);
}

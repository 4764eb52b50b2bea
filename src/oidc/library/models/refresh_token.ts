/**
 * Overrides of oidc-provider's RefreshToken model: the token leaves as PASETO, the store has a hash, and rotation is
 * race-proof. The library reads `consumed`, calls consume(), makes a successor and saves it; here reading tells the
 * state of the family (refresh/states.ts), consume() does nothing, and the request's commit
 * (token_commit.ts) is the one atomic rotation.
 * test/http/provider_internals.test.ts breaks where a release calls these methods otherwise.
 */
import type Provider from 'oidc-provider';
import { errors } from 'oidc-provider';
import { randomId } from '../../../lib/crypto.ts';
import type { RefreshStore } from '../../../refresh/store.ts';
import type { Revocations } from '../../../revocation/revocations.ts';
import type { Query } from '../../../storage/database.ts';
import type { Tokens } from '../../../tokens/tokens.ts';
import type { Use } from '../record_store.ts';
import { type Bound, currentScope, type InFamily } from '../request_scope.ts';
import { usedBefore } from '../routes/token_commit.ts';
import { modelOf } from './model.ts';

export interface RefreshTokenDeps {
  tokens: Pick<Tokens, 'seal' | 'open'>;
  refresh: RefreshStore;
  readAhead: Query;
  revocations: Revocations;
  /** Ends the family of a token that was used by two, and tells the audit log of it. */
  endReused(token: RefreshedToken & { familyId: string }): Promise<void>;
  /** Absolute life of a family. */
  familySeconds: number;
  /** Told what became of every presented token. */
  onRefresh(outcome: 'rotated' | 'repeated' | 'reused'): void;
  /** Told of a device or CIBA client that received its first answer once more: rarely it is somebody else. */
  onPollRepeated(whose: { clientId: string; accountId: string; address: string | undefined }): void;
}

export interface RefreshedToken {
  familyId?: string | undefined;
  clientId: string;
  accountId: string;
}

interface Payload extends Bound {
  iat: number;
  exp: number;
  clientId: string;
  accountId: string;
  grantId: string;
  sid?: string;
  sessionUid?: string;
  expiresWithSession?: boolean;
}

interface RefreshTokenModel extends InFamily, Payload {
  jti: string;
  iiat: number;
  consumed: boolean | undefined;
  /** Used by two, for all we know. A token that is merely used may be its app's, which has not received the next one. */
  reused: boolean | undefined;
  getValueAndPayload(): Promise<{ payload: Payload & { jti?: string; kind?: string } }>;
  emit(event: string): void;
  save(): Promise<string>;
  consume(): Promise<void>;
  destroy(): Promise<void>;
}

interface RefreshTokenClass {
  new (payload: object): RefreshTokenModel;
  prototype: RefreshTokenModel;
  find(value: unknown, options?: { ignoreExpiration?: boolean }): Promise<RefreshTokenModel | undefined>;
  revokeByGrantId(grantId: string): Promise<void>;
}

/**
 * A FAPI client that did not receive or keep an answer may repeat its request whenever it notices (FAPI 2.0 security profile,
 * section 5.3.2.1, item 9): a stolen refresh token is of no use without the client's key.
 */
const repetitions = () => ({ anyTime: currentScope()?.client?.fapi !== undefined });

/** FAPI-CIBA has a redeemed request refused, whoever presents it (its suite: `fapi-ciba-id1`). */
const mayRepeatPoll = (): boolean => {
  const scope = currentScope();
  if (scope?.polledCode === undefined) return false;
  return !(scope.entities.BackchannelAuthenticationRequest && scope.client?.fapi !== undefined);
};

/** Another key, or another certificate, is in another hand. */
const isBoundAlike = (one: Payload, other: Payload): boolean =>
  one.jkt === other.jkt && one['x5t#S256'] === other['x5t#S256'];

/** Replaces `find`, `save`, `consume`, `destroy` and `revokeByGrantId` of this provider instance's RefreshToken. */
export function overrideRefreshToken(provider: Provider, deps: RefreshTokenDeps): void {
  const { tokens, refresh, revocations, familySeconds } = deps;
  const Model = modelOf<RefreshTokenClass>(provider, 'RefreshToken');

  Model.find = async (value) => {
    const claims =
      typeof value === 'string' ? await tokens.open('refresh', value, { ignoreExpiration: true }) : undefined;
    if (typeof claims?.token_id !== 'string') return undefined;
    const stored = await refresh.read(claims.token_id, repetitions(), deps.readAhead);
    if (!stored) return undefined;
    const { state } = stored;
    if (state === 'ended' || state === 'expired') return undefined;
    const token = new Model({ ...stored.payload, jti: claims.token_id });
    token.familyId = stored.familyId;
    // Only the token endpoint may treat a repetition as one; elsewhere a used token is just inactive.
    const repeatable = currentScope()?.isTokenRequest;
    token.reused = state === 'reuse';
    if (token.reused || (state === 'retry' && !repeatable)) token.consumed = true;
    return token;
  };

  /** Only prepares: the token is written, and its text made, once nothing can refuse the request any more. */
  Model.prototype.save = async function () {
    const scope = currentScope();
    if (!scope) throw new Error('a token is issued outside a request');
    const predecessor = scope.entities.RotatedRefreshToken as RefreshTokenModel | undefined;
    const { polledCode } = scope;
    const first = polledCode === undefined ? randomId(32) : refresh.firstOf(polledCode);
    this.jti = predecessor ? refresh.successorOf(predecessor.jti) : first;
    this.familyId = predecessor ? predecessor.familyId : (scope.family ?? randomId());
    const { payload } = await this.getValueAndPayload();
    const { jti: _, kind: __, ...stored } = payload;
    scope.writeRefreshToken = async (use) =>
      sealed(this, await (predecessor ? rotate(predecessor, stored) : begin(this, stored, use)));
    this.emit('saved');
    return '';
  };

  /** Made of what is stored and nothing else, so that a repeated request receives the very same text. */
  function sealed({ jti, familyId }: RefreshTokenModel, kept: Payload): Promise<string> {
    const claims = {
      sub: kept.accountId,
      client_id: kept.clientId,
      sid: kept.sid,
      grant: kept.grantId,
      token_id: jti,
      family: familyId,
    };
    return tokens.seal('refresh', claims, { issuedAt: kept.iat, expiresAt: kept.exp });
  }

  /** Resolves with what is stored of the successor: this payload, or that of a request that came before. */
  async function rotate(predecessor: RefreshTokenModel, stored: Payload): Promise<Payload> {
    const rotated = await refresh.rotate(predecessor.jti, stored, stored.exp * 1000);
    const kept = rotated ? stored : await successorOf(predecessor);
    deps.onRefresh(rotated ? 'rotated' : 'repeated');
    return kept;
  }

  /** Resolves with what is stored of the family's first token: this payload, or that of a request that came before. */
  async function begin(token: RefreshTokenModel, stored: Payload, use: Use | undefined): Promise<Payload> {
    const family = {
      id: token.familyId ?? '',
      grantId: stored.grantId,
      clientId: stored.clientId,
      accountId: stored.accountId,
      sessionUid: stored.sessionUid,
      offline: !stored.expiresWithSession,
      expiresAt: (token.iiat + familySeconds) * 1000,
    };
    const begun = await refresh.begin(family, token.jti, stored, stored.exp * 1000, use?.statement);
    return begun ? stored : firstOf(token, stored, use);
  }

  /** Somebody else has rotated the token in between: what that amounts to is decided by the same table. */
  async function successorOf(predecessor: RefreshTokenModel): Promise<Payload> {
    const [stored, successor] = await Promise.all([
      refresh.read(predecessor.jti, repetitions()),
      refresh.read(refresh.successorOf(predecessor.jti)),
    ]);
    if (stored?.state === 'retry' && successor) return successor.payload as unknown as Payload;
    if (stored?.state === 'reuse') await endReused(predecessor);
    throw new errors.InvalidGrant('refresh token already used');
  }

  /**
   * What a code that is presented again receives. A poll whose answer was lost: that answer's refresh token, while nobody has
   * used it. Whoever has used it was answered, so that one who still polls is somebody else; and so is one with another key.
   */
  async function firstOf(token: RefreshTokenModel, asked: Payload, use: Use | undefined): Promise<Payload> {
    const whyNot = (await use?.whyNot()) ?? 'gone';
    const repeated = whyNot === 'repetition' && mayRepeatPoll();
    const first = repeated ? await refresh.read(token.jti) : undefined;
    const payload = first?.payload as unknown as Payload | undefined;
    const alike = payload !== undefined && isBoundAlike(payload, asked);
    if (first?.state === 'live' && alike) {
      deps.onRefresh('repeated');
      const { clientId, accountId } = asked;
      deps.onPollRepeated({ clientId, accountId, address: currentScope()?.ctx.ip });
      return payload;
    }
    const used = first?.state === 'retry' || first?.state === 'reuse' || (payload && !alike);
    if (token.familyId && (whyNot === 'replay' || used))
      await revocations.endFamily(token.familyId, 'revoked');
    throw usedBefore(used ? 'replay' : whyNot);
  }

  async function endReused(token: RefreshTokenModel): Promise<void> {
    if (!token.familyId) return;
    await deps.endReused({ familyId: token.familyId, clientId: token.clientId, accountId: token.accountId });
    deps.onRefresh('reused');
  }

  Model.prototype.consume = async function () {
    this.emit('consumed');
  };

  Model.prototype.destroy = async function () {
    if (this.reused) await endReused(this);
    else if (this.familyId) await revocations.endFamily(this.familyId, 'revoked');
    this.emit('destroyed');
  };

  Model.revokeByGrantId = async (grantId) => {
    // Of a single family `destroy` or AccessToken.revokeByGrantId has taken care; the other families live on.
    if (currentScope()?.family === undefined) await revocations.endGrant(grantId, 'signed_out');
  };
}

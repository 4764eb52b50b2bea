/**
 * oidc-provider's RefreshToken. The token is issued as PASETO, and the store holds only a hash of its id. Refreshing
 * does not go through this model: our own grant does it (grants/refresh_token.ts).
 *
 * - `find` serves introspection and revocation. A used token is inactive there, but it can still be revoked.
 * - `save` begins a family for a code. It only prepares the write. The token is stored together with the use of the
 *   code, after the last check (routes/token_commit.ts).
 * - `destroy` and `revokeByGrantId` end a family or a grant.
 */
import type Provider from 'oidc-provider';
import { randomId } from '../../../lib/crypto.ts';
import { lifeSeconds } from '../../../lifetimes.ts';
import type { Revocations } from '../../../revocation/revocations.ts';
import {
  endReused,
  findRefreshToken,
  payloadOf,
  type RefreshDeps,
  type RefreshPayload,
  repetitionsOf,
  sealRefreshToken,
} from '../../tokens/refresh_tokens.ts';
import type { Use } from '../record_store.ts';
import { type Bound, currentScope, type InFamily, type RequestScope } from '../request_scope.ts';
import { usedBefore } from '../routes/token_commit.ts';
import { filled, modelOf } from './model.ts';

export interface RefreshTokenDeps extends RefreshDeps {
  revocations: Revocations;
  /** A device or CIBA client has received its first refresh token again. In rare cases that is an attacker. */
  onPollRepeated(whose: { clientId: string; accountId: string; address: string | undefined }): void;
}

interface RefreshTokenModel extends InFamily, RefreshPayload {
  jti: string;
  consumed: boolean | undefined;
  /**
   * True if two parties have probably used the token. A token that is only used may be a client's whose answer was
   * lost.
   */
  reused: boolean | undefined;
  getValueAndPayload(): Promise<{ payload: RefreshPayload & { jti?: string; kind?: string } }>;
  emit(event: string): void;
  save(): Promise<string>;
  destroy(): Promise<void>;
}

interface RefreshTokenClass {
  new (payload: object): RefreshTokenModel;
  prototype: RefreshTokenModel;
  find(value: unknown, options?: object): Promise<RefreshTokenModel | undefined>;
  revokeByGrantId(grantId: string): Promise<void>;
}

/** Replaces the methods of the model on this provider. */
export function overrideRefreshToken(provider: Provider, deps: RefreshTokenDeps): void {
  const { revocations } = deps;
  const Model = modelOf<RefreshTokenClass>(provider, 'RefreshToken');

  Model.find = async (value) => {
    const found = await findRefreshToken(deps, value, repetitionsOf(currentScope()?.client));
    if (!found) return undefined;
    const token = filled(Model, { ...found.payload, jti: found.tokenId });
    token.familyId = found.familyId;
    token.reused = found.state === 'reuse';
    token.consumed = found.state !== 'live';
    return token;
  };

  Model.prototype.save = async function () {
    const scope = currentScope();
    if (!scope) throw new Error('a token is issued outside a request');
    const { polledCode } = scope;
    this.jti = polledCode === undefined ? randomId(32) : deps.refresh.firstOf(polledCode);
    this.familyId = scope.family ?? randomId();
    const { payload } = await this.getValueAndPayload();
    const { jti: _, kind: __, ...asked } = payload;
    const first = { tokenId: this.jti, familyId: this.familyId };
    scope.writeRefreshToken = async (use) =>
      sealRefreshToken(deps.tokens, {
        ...first,
        payload: await begin(deps, scope, { ...first, asked, use }),
      });
    this.emit('saved');
    return '';
  };

  Model.prototype.destroy = async function () {
    const { familyId, clientId, accountId } = this;
    if (familyId && this.reused) await endReused(deps, { familyId, clientId, accountId });
    else if (familyId) await revocations.endFamily(familyId, 'revoked');
    this.emit('destroyed');
  };

  Model.revokeByGrantId = async (grantId) => {
    // A request about one family ends that family elsewhere. The other families of the grant stay valid.
    if (currentScope()?.family === undefined) await revocations.endGrant(grantId, 'signed_out');
  };
}

/** The first token of a family, as this request wants to store it. `use`: the use of its code. */
interface First {
  tokenId: string;
  familyId: string;
  asked: RefreshPayload;
  use: Use | undefined;
}

/**
 * Resolves with the stored payload of the first token: this request's, or the one that an earlier request has stored.
 */
async function begin(deps: RefreshTokenDeps, scope: RequestScope, first: First): Promise<RefreshPayload> {
  const { tokenId, familyId, asked, use } = first;
  const { iat, exp, ...payload } = asked;
  const family = {
    id: familyId,
    grantId: asked.grantId,
    clientId: asked.clientId,
    accountId: asked.accountId,
    sessionUid: asked.sessionUid,
    offline: !asked.expiresWithSession,
    expiresAt: (asked.iiat + lifeSeconds.refreshFamily) * 1000,
  };
  const begun = await deps.refresh.begin(family, {
    tokenId,
    payload,
    issuedAt: iat * 1000,
    expiresAt: exp * 1000,
    using: use?.statement,
  });
  return begun ? asked : keptFirst(deps, scope, first);
}

/**
 * Decides what a client receives that presents a code again. If it repeats a poll whose answer was lost, it gets the
 * same refresh token, as long as that is unused. If the token was used, the client did get its answer, so this is
 * somebody else. The same is true if the request has another key. Then the family ends. Throws InvalidGrant in all
 * other cases.
 */
async function keptFirst(
  deps: RefreshTokenDeps,
  scope: RequestScope,
  { tokenId, familyId, asked, use }: First,
): Promise<RefreshPayload> {
  const whyNot = (await use?.whyNot()) ?? 'gone';
  const repeated = whyNot === 'repetition' && mayRepeatPoll(scope);
  const first = repeated
    ? await deps.refresh.read({ tokenId, familyId, generation: 0, expiresAt: asked.exp * 1000 })
    : undefined;
  const payload = first && payloadOf(first);
  const alike = payload !== undefined && isBoundAlike(payload, asked);
  if (first?.state === 'live' && alike) {
    deps.onRefresh('repeated');
    const { clientId, accountId } = asked;
    deps.onPollRepeated({ clientId, accountId, address: scope.ctx.ip });
    return payload;
  }
  const used = first?.state === 'retry' || first?.state === 'reuse' || (payload && !alike);
  if (whyNot === 'replay' || used) await deps.revocations.endFamily(familyId, 'revoked');
  throw usedBefore(used ? 'replay' : whyNot);
}

/** FAPI-CIBA requires that a redeemed request is always refused (conformance suite `fapi-ciba-id1`). */
const mayRepeatPoll = ({ polledCode, entities, client }: RequestScope): boolean =>
  polledCode !== undefined && !(entities.BackchannelAuthenticationRequest && client?.fapi !== undefined);

/** Whether both are bound to the same key and certificate. If not, they belong to different parties. */
const isBoundAlike = (one: Bound, other: Bound): boolean =>
  one.jkt === other.jkt && one['x5t#S256'] === other['x5t#S256'];

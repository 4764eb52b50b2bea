/**
 * oidc-provider's RefreshToken: the token leaves as PASETO, and the store has a hash. The grant by which it is used is ours
 * (grants/refresh_token.ts): no other one of the library's reads or writes it.
 *
 * - `find` is for introspection and revocation. A token that was used is inactive there, and is still one to revoke.
 * - `save` begins a family for a code. It only prepares: the token is written with the use of the code, once nothing can
 *   refuse the request any more (routes/token_commit.ts).
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
  /** A device or CIBA client has received its first answer once more: rarely it is somebody else. */
  onPollRepeated(whose: { clientId: string; accountId: string; address: string | undefined }): void;
}

interface RefreshTokenModel extends InFamily, RefreshPayload {
  jti: string;
  consumed: boolean | undefined;
  /** Used by two, for all we know. A token that is merely used may be its app's, which has not received the next one. */
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

export function overrideRefreshToken(provider: Provider, deps: RefreshTokenDeps): void {
  const { revocations } = deps;
  const Model = modelOf<RefreshTokenClass>(provider, 'RefreshToken');

  Model.find = async (value) => {
    const found = await findRefreshToken(deps, value, repetitionsOf(currentScope()?.client));
    if (!found) return undefined;
    const token = filled(Model, { ...found.payload, jti: found.id });
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
    const first = { id: this.jti, familyId: this.familyId };
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
    // Of a single family `destroy` or AccessToken.revokeByGrantId has taken care; the other families live on.
    if (currentScope()?.family === undefined) await revocations.endGrant(grantId, 'signed_out');
  };
}

/** The first token of a family, as it was asked for. `use`: of the code that it is for. */
interface First {
  id: string;
  familyId: string;
  asked: RefreshPayload;
  use: Use | undefined;
}

/** Resolves with what is stored of the family's first token: what was asked for, or what a request before has stored. */
async function begin(deps: RefreshTokenDeps, scope: RequestScope, first: First): Promise<RefreshPayload> {
  const { id, familyId, asked, use } = first;
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
    tokenId: id,
    payload: asked,
    expiresAt: asked.exp * 1000,
    using: use?.statement,
  });
  return begun ? asked : keptFirst(deps, scope, first);
}

/**
 * What a code that is presented again receives. A poll whose answer was lost: that answer's refresh token, while nobody has
 * used it. Whoever has used it was answered, so that one who still polls is somebody else; and so is one with another key.
 */
async function keptFirst(
  deps: RefreshTokenDeps,
  scope: RequestScope,
  { id, familyId, asked, use }: First,
): Promise<RefreshPayload> {
  const whyNot = (await use?.whyNot()) ?? 'gone';
  const repeated = whyNot === 'repetition' && mayRepeatPoll(scope);
  const first = repeated ? await deps.refresh.read(id) : undefined;
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

/** FAPI-CIBA has a redeemed request refused, whoever presents it (its suite: `fapi-ciba-id1`). */
const mayRepeatPoll = ({ polledCode, entities, client }: RequestScope): boolean =>
  polledCode !== undefined && !(entities.BackchannelAuthenticationRequest && client?.fapi !== undefined);

/** Whether both are bound to the same key and the same certificate. Another one belongs to another client. */
const isBoundAlike = (one: Bound, other: Bound): boolean =>
  one.jkt === other.jkt && one['x5t#S256'] === other['x5t#S256'];

/**
 * Client-Initiated Backchannel Authentication (OpenID CIBA Core 1.0), in its poll and ping modes: what oidc-provider leaves
 * to its surroundings at the authentication endpoint. The person answers on their account page (approvals.ts).
 */
import type { CIBAConfiguration, KoaContextWithOIDC } from 'oidc-provider';
import { errors } from 'oidc-provider';
import type { Accounts } from '../../accounts/accounts.ts';
import { tooManyRequests } from '../../lib/errors.ts';
import { mfaAcr } from '../claims/claims.ts';
import type { Pairwise } from '../clients/pairwise.ts';
import { refuseUnmeetable } from '../requests/requirements.ts';
import { pollSeconds } from './polling.ts';

export interface CibaDeps {
  accounts: Pick<Accounts, 'parseUsername' | 'idOf'>;
  pairwise: Pairwise;
  /** Keeps what a client in ping mode is to be sent once its request is answered. */
  holdPing(ping: Ping): Promise<void>;
  /** The requests that wait for this account's answer, this one included. `exp`: unix seconds. */
  waitingFor(accountId: string): Promise<{ clientId: string; exp: number }[]>;
}

/** `token`: the bearer token that the client wants to be told with. */
export interface Ping {
  requestId: string;
  token: string;
  clientId: string;
  accountId: string;
}

const longestMessage = 64;

/** An app that asks again and again must not fill a person's page, nor the database. */
const mostWaiting = { ofClient: 5, ofAccount: 20 };

export function ciba({ accounts, pairwise, holdPing, waitingFor }: CibaDeps): CIBAConfiguration {
  return {
    enabled: true,
    deliveryModes: ['poll', 'ping'],
    // A name that is nobody is `unknown_user_id`, as section 13 has it: a client here is registered by the operator, and
    // authenticated; it is no stranger who tries names.
    async processLoginHint(_ctx, hint) {
      if (hint === undefined) return undefined;
      const key = keyOf(hint);
      return key === undefined ? undefined : accounts.idOf(key);
    },
    async processLoginHintToken() {
      throw new errors.InvalidRequest('login_hint_token is not taken here: send login_hint or id_token_hint');
    },
    async validateBindingMessage(_ctx, message) {
      // One line, as the person is to compare it with what the client shows.
      if (
        message !== undefined &&
        (message.length > longestMessage || /[\p{C}\p{Z}]/u.test(message.replaceAll(' ', '')))
      )
        throw new errors.InvalidBindingMessage(`at most ${longestMessage} characters in one line`);
    },
    async validateRequestContext(ctx: KoaContextWithOIDC) {
      if (ctx.oidc.params?.authorization_details !== undefined)
        throw new errors.InvalidRequest('authorization_details are not taken here');
    },
    // The first of the library's questions that knows the account.
    async verifyUserCode(ctx, { accountId }) {
      refuseUnmeetable(ctx, pairwise, accountId, [mfaAcr]);
    },
    async triggerAuthenticationDevice(
      ctx,
      request,
      { accountId },
      { clientId, backchannelTokenDeliveryMode },
    ) {
      await refuseTooMany(ctx, request, { accountId, clientId });
      Object.assign(ctx.body as object, { interval: pollSeconds });
      if (backchannelTokenDeliveryMode !== 'ping') return;
      const token = String((request.params as Record<string, unknown>).client_notification_token);
      await holdPing({ requestId: request.jti, token, clientId, accountId });
    },
  };

  /**
   * Counted once the request is stored: of parallel ones each sees the others, and no more than the limit stay. Throws
   * AppError 429, and leaves nothing behind.
   */
  async function refuseTooMany(
    ctx: KoaContextWithOIDC,
    request: { destroy(): Promise<void> },
    { accountId, clientId }: { accountId: string; clientId: string },
  ): Promise<void> {
    const waiting = await waitingFor(accountId);
    const ofClient = waiting.filter((each) => each.clientId === clientId);
    if (ofClient.length <= mostWaiting.ofClient && waiting.length <= mostWaiting.ofAccount) return;
    await request.destroy();
    const firstEnds = Math.min(...waiting.map(({ exp }) => exp));
    const refusal = tooManyRequests(Math.max(1, Math.ceil(firstEnds - Date.now() / 1000)));
    ctx.set('Retry-After', String(refusal.retryAfterSeconds));
    throw refusal;
  }

  function keyOf(hint: string): string | undefined {
    try {
      return accounts.parseUsername(hint).key;
    } catch {
      return undefined;
    }
  }
}

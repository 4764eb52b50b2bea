/**
 * Client-Initiated Backchannel Authentication (OpenID CIBA Core 1.0) in poll and ping mode: the hooks that
 * oidc-provider calls at the authentication endpoint. How the person answers is not here but in approvals.ts.
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
  /** Keeps the notification that a client in ping mode receives once its request is answered. */
  holdPing(ping: Ping): Promise<void>;
  /** The requests that wait for this account's answer, this one included. `exp`: unix seconds. */
  waitingFor(accountId: string): Promise<{ clientId: string; exp: number }[]>;
}

/** A notification. `token`: the bearer token that the client expects with it. */
export interface Ping {
  requestId: string;
  token: string;
  clientId: string;
  accountId: string;
}

const longestMessage = 64;

/** Bounds on unanswered requests. An app that asks repeatedly must not fill a person's page or the database. */
const mostWaiting = { ofClient: 5, ofAccount: 20 };

/** oidc-provider's configuration of CIBA. */
export function ciba({ accounts, pairwise, holdPing, waitingFor }: CibaDeps): CIBAConfiguration {
  return {
    enabled: true,
    deliveryModes: ['poll', 'ping'],
    // An unknown name is answered with `unknown_user_id` (section 13). That reveals which names exist, but only to an
    // authenticated client that the operator has registered.
    async processLoginHint(_ctx, hint) {
      if (hint === undefined) return undefined;
      const key = keyOf(hint);
      return key === undefined ? undefined : accounts.idOf(key);
    },
    async processLoginHintToken() {
      throw new errors.InvalidRequest('login_hint_token is not taken here: send login_hint or id_token_hint');
    },
    async validateBindingMessage(_ctx, message) {
      // The message must be one line, because the person compares it with what the app shows.
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
    // We have no user codes. This is the first hook that knows the account, so other checks are done here.
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
   * Throws AppError 429 if the account has too many unanswered requests, and then removes the new one. It counts
   * after the request is stored, so that concurrent requests see each other and the limit holds.
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

/**
 * Client-Initiated Backchannel Authentication (OpenID CIBA Core 1.0), in its poll and ping modes: what oidc-provider leaves
 * to its surroundings at the authentication endpoint. The person answers on their account page (approvals.ts).
 */
import type { CIBAConfiguration, KoaContextWithOIDC } from 'oidc-provider';
import { errors } from 'oidc-provider';
import type { Accounts } from '../accounts/accounts.ts';
import { mfaAcr } from './claims.ts';
import type { Pairwise } from './pairwise.ts';
import { pollSeconds } from './polling.ts';
import { refuseUnmeetable } from './requirements.ts';

export interface CibaDeps {
  accounts: Pick<Accounts, 'parseUsername' | 'idOf'>;
  pairwise: Pairwise;
  /** Keeps what a client in ping mode is to be sent once its request is answered. */
  holdPing(ping: Ping): Promise<void>;
}

/** `token`: the bearer token that the client wants to be told with. */
export interface Ping {
  requestId: string;
  token: string;
  clientId: string;
  accountId: string;
}

const longestMessage = 64;

export function ciba({ accounts, pairwise, holdPing }: CibaDeps): CIBAConfiguration {
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
      Object.assign(ctx.body as object, { interval: pollSeconds });
      if (backchannelTokenDeliveryMode !== 'ping') return;
      const token = String((request.params as Record<string, unknown>).client_notification_token);
      await holdPing({ requestId: request.jti, token, clientId, accountId });
    },
  };

  function keyOf(hint: string): string | undefined {
    try {
      return accounts.parseUsername(hint).key;
    } catch {
      return undefined;
    }
  }
}

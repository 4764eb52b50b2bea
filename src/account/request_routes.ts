/**
 * The routes for requests that an app sends from elsewhere (a till, a call centre). To approve one, a person enters a
 * code of the second factor. To deny one, they need no code.
 */

import type { SecondFactor } from '../authentication/second_factor.ts';
import { seeOther } from '../http/flow.ts';
import { bodies, readBody } from '../http/forms.ts';
import type { Views } from '../http/views.ts';
import type { AppError } from '../lib/errors.ts';
import { otherTime, parseCode } from '../lib/typed_code.ts';
import type { Approvals, ApprovingSession } from '../oidc/polled/approvals.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Database } from '../storage/database.ts';
import type { Totp } from '../totp/totp.ts';
import type { BrowserCookies } from './browser_cookies.ts';
import { type Pipeline, signedOut } from './pipeline.ts';

export interface RequestRouteDeps {
  approvals: Approvals;
  clientOf(clientId: string): Promise<{ name: string } | undefined>;
  describeScopes(scopes: string[]): { name: string; description: string }[];
  sessionOf(uid: string): Promise<ApprovingSession | undefined>;
  secondFactor: Pick<SecondFactor, 'attempt'>;
  totp: Pick<Totp, 'verifierFor'>;
  database: Pick<Database, 'query' | 'transaction'>;
  /** Where a person who is signed in can sign in again. */
  signInAgainPath: string;
}

export function mountRequests(
  { page, action, show }: Pipeline,
  cookies: Pick<BrowserCookies, 'browser'>,
  deps: RequestRouteDeps,
): void {
  const { approvals, secondFactor, totp, database } = deps;

  async function view({ account }: SignedIn, error?: AppError): Promise<Views['account_requests']> {
    const waiting = await approvals.waiting(account.id);
    const requests = waiting.map(async ({ id, clientId, message, scopes }) => ({
      id,
      clientName: (await deps.clientOf(clientId))?.name ?? clientId,
      message,
      scopes: deps.describeScopes(scopes),
    }));
    const signInPath = error?.code === 'sign_in_required' ? deps.signInAgainPath : undefined;
    return { requests: await Promise.all(requests), error: error?.publicMessage, signInPath };
  }

  page('/requests', async (ctx, who) => show(ctx, 'account_requests', await view(who)));

  action('/requests', {
    name: 'requests',
    async work(ctx, { account, sessionUid }) {
      const { request, decision, code } = await readBody(ctx, bodies.request);
      if (decision === 'allow') {
        const session = await deps.sessionOf(sessionUid);
        if (!session) throw signedOut();
        const typed = parseCode(code);
        const use = await totp.verifierFor(database.query, account.id);
        await secondFactor.attempt(account, cookies.browser(ctx, sessionUid), async (query) => {
          const factor = await use(query, typed);
          if (factor === undefined || factor === otherTime) return factor;
          await approvals.approve(query, account.id, request, { ...session, uid: sessionUid });
          return factor;
        });
      } else {
        await database.transaction((query) => approvals.deny(query, account.id, request));
      }
      seeOther(ctx, '/account/requests');
      return { detail: { decision } };
    },
    async again(ctx, who, error) {
      show(ctx, 'account_requests', await view(who, error));
      return true;
    },
  });
}

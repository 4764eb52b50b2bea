/** The pages of the interaction: which page a browser is shown at its step, and what is on it. */
import type { Context } from 'koa';
import type { Accounts } from '../accounts/accounts.ts';
import type { SecondFactor } from '../authentication/second_factor.ts';
import { contentSecurityPolicy } from '../http/headers.ts';
import { formActionFor, webHostOf } from '../http/onward.ts';
import type { Views } from '../http/views.ts';
import type { Interactions, WaitingRequest } from '../oidc/interaction/interactions.ts';
import type { Totp } from '../totp/totp.ts';
import { type Invited, invitationRequired } from './invited.ts';
import type { Standing } from './standing.ts';
import { stepOf } from './steps.ts';

export interface PageDeps {
  render<K extends keyof Views>(name: K, view: Views[K]): string;
  accounts: Pick<Accounts, 'byId' | 'parseUsername'>;
  totp: Pick<Totp, 'setup' | 'qrCode' | 'label'>;
  secondFactor: Pick<SecondFactor, 'hasConfirmed'>;
  invited: Pick<Invited, 'invitation' | 'maySignUp'>;
  clientOf: Interactions['clientOf'];
  /** The address of an app for people, if the operator has registered one. */
  addressOf(clientId: string): Promise<string | undefined>;
  /** What the scopes allow an app, in words that complete "would be able to". */
  describeScopes(scopes: string[]): { name: string; description: string }[];
  /** The details of a rich authorization request, in words. */
  describeDetails(details: WaitingRequest['details']): Views['consent']['details'];
}

export interface Pages {
  /** Shows the page of the browser's step, with `error` beside its field. `retryAfterSeconds`: when to try again. */
  show(ctx: Context, standing: Standing, options?: ShowOptions): Promise<void>;
  /** Throws AppError 403 `invitation_required` where nobody may sign up in this browser. */
  showRegister(ctx: Context, standing: Standing): Promise<void>;
  /** Tells a person who is signed in that this sign-in is over. */
  showFinished(ctx: Context, account: { username: string }, clientId: string): Promise<void>;
  showRecoveryCodes(ctx: Context, standing: Standing, codes: string[]): void;
}

interface ShowOptions {
  error?: string;
  retryAfterSeconds?: number | undefined;
  recovery?: boolean;
}

export function createPages(deps: PageDeps): Pages {
  const { render, accounts, totp, secondFactor, invited } = deps;
  const send = createSend(render);

  async function showSetup(ctx: Context, standing: Standing, error: string | undefined): Promise<void> {
    const { waiting, account } = standing;
    if (!account) throw new Error('a set-up without an account');
    const setup = totp.setup(waiting.uid, account);
    const qrSvg = await totp.qrCode(setup.otpauthUri);
    send(ctx, standing, 'totp_setup', {
      action: `/interaction/${waiting.uid}/totp/verify-setup`,
      replacing: standing.reset !== undefined,
      username: account.username,
      ...setup,
      qrSvg,
      error,
    });
  }

  return {
    async show(ctx, standing, { error, retryAfterSeconds, recovery = false } = {}) {
      const { uid, client } = standing.waiting;
      switch (stepOf(standing.proven)) {
        case 'login':
          return send(ctx, standing, 'login', {
            uid,
            clientName: client.name,
            username: await nameToBeginWith(accounts, standing.waiting),
            maySignUp: invited.maySignUp(await invited.invitation(ctx)),
            notice: error,
          });
        case 'totp_setup':
          return showSetup(ctx, standing, error);
        case 'totp':
          // Somebody who confirmed the set-up but did not receive the recovery codes can confirm it again.
          if (standing.step && (await secondFactor.hasConfirmed(standing.step)))
            return showSetup(ctx, standing, error);
          return send(ctx, standing, 'totp', {
            uid,
            username: standing.account?.username ?? '',
            label: totp.label,
            recovery,
            error,
            retryAfterSeconds,
          });
        case 'consent':
          return send(ctx, standing, 'consent', consentView(standing, deps));
      }
    },
    async showRegister(ctx, standing) {
      const invitation = await invited.invitation(ctx);
      if (!invited.maySignUp(invitation)) throw invitationRequired();
      send(ctx, standing, 'register', {
        uid: standing.waiting.uid,
        clientName: standing.waiting.client.name,
        invitation: invitation && { username: invitation.username, email: invitation.email },
      });
    },
    async showFinished(ctx, { username }, clientId) {
      const [client, uri] = await Promise.all([deps.clientOf(clientId), deps.addressOf(clientId)]);
      ctx.type = 'html';
      ctx.set('Content-Security-Policy', contentSecurityPolicy());
      const app = client && uri !== undefined ? { name: client.name, uri } : undefined;
      ctx.body = render('finished', { username, app });
    },
    showRecoveryCodes(ctx, standing, codes) {
      const form = { action: `/interaction/${standing.waiting.uid}/recovery-codes`, method: 'post' } as const;
      send(ctx, standing, 'recovery_codes', { codes, form, replacing: standing.reset !== undefined });
    },
  };
}

/** Shows a page of a waiting request. Its forms may lead to the address where the app receives the answer. */
const createSend =
  (render: PageDeps['render']) =>
  <K extends keyof Views>(ctx: Context, { waiting }: Standing, name: K, view: Views[K]): void => {
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', contentSecurityPolicy(formActionFor(waiting.redirectUri)));
    ctx.body = render(name, view);
  };

/**
 * The username to fill in: the one that the app names, or else that of the person who is signed in and must sign in
 * again. A hint that cannot be a username is ignored: otherwise an app could put any sentence on this page. Whether
 * the hinted account exists is not checked.
 */
async function nameToBeginWith(
  accounts: PageDeps['accounts'],
  { loginHint, promptName, accountId }: WaitingRequest,
): Promise<string | undefined> {
  const hinted = loginHint === undefined ? undefined : usernameIn(accounts, loginHint);
  if (hinted !== undefined || promptName === 'select_account' || accountId === undefined) return hinted;
  return (await accounts.byId(accountId))?.username;
}

function usernameIn(accounts: PageDeps['accounts'], text: string): string | undefined {
  try {
    return accounts.parseUsername(text).shown;
  } catch {
    return undefined;
  }
}

const consentView = (
  { waiting, account }: Standing,
  { describeScopes, describeDetails }: PageDeps,
): Views['consent'] => ({
  uid: waiting.uid,
  username: account?.username ?? '',
  clientName: waiting.client.name,
  clientUri: waiting.client.uri,
  logoUri: waiting.client.logoUri,
  policyUri: waiting.client.policyUri,
  tosUri: waiting.client.tosUri,
  host: waiting.redirectUri && (webHostOf(waiting.redirectUri) || 'an app on this device'),
  scopes: describeScopes(waiting.scopes),
  details: describeDetails(waiting.details),
});

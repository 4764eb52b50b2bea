/** When a person is asked to sign in or to consent: oidc-provider's interaction policy with our checks. */
import { interactionPolicy } from 'oidc-provider';
import type { Settings } from '../../config/schema.ts';
import type { Pairwise } from '../clients/pairwise.ts';
import { isFirstParty } from '../clients/policy.ts';
import { checkRequirements } from '../requests/requirements.ts';
import { asksAlways, redirectUriOf } from './consent.ts';

/** Values of `prompt` (OpenID Connect Core, section 3.1.2.1). */
export const promptValues = (config: Pick<Settings, 'SIGN_UP'>): string[] => [
  'none',
  'login',
  'consent',
  ...ownPrompts(config),
];

/** Apps may request `create` (Initiating User Registration 1.0) only if people can sign up without an invitation. */
const ownPrompts = ({ SIGN_UP }: Pick<Settings, 'SIGN_UP'>): string[] =>
  SIGN_UP === 'open' ? ['select_account', 'create'] : ['select_account'];

/** The `prompt` of a request that begins again for another account. A demand for consent stays. */
export const promptForAnother = (prompt: unknown): string =>
  String(prompt).split(' ').includes('consent') ? 'select_account consent' : 'select_account';

/**
 * The library's prompts, with these differences:
 *
 * - What an app demands of the sign-in is checked until the answer is sent (requirements.ts).
 * - `create` opens the sign-up page.
 * - `select_account` opens the sign-in page, where the person may use another account than the one that is signed in.
 * - A session whose account is gone leads to a login.
 * - Consent is asked for at every request of an app that another app could impersonate (consent.ts), unless it is
 *   first-party.
 *
 * Throws if a release of the library lacks a check that is changed here.
 */
export function prompts(config: Pick<Settings, 'SIGN_UP'>, pairwise: Pairwise) {
  const policy = interactionPolicy.base();
  for (const name of ownPrompts(config)) {
    policy.add(new interactionPolicy.Prompt({ name, requestable: true }), 0);
  }
  const login = policy.get('login');
  if (!login) throw new Error('oidc-provider has no login prompt any more');
  login.checks.add(
    new interactionPolicy.Check(
      'account_gone',
      'the account was disabled, or signed out everywhere, after this login',
      'login_required',
      (ctx) => ctx.oidc.session?.accountId !== undefined && ctx.oidc.account === undefined,
    ),
  );
  checkRequirements(login, pairwise);
  const consent = policy.get('consent');
  const native = consent?.checks.get('native_client_prompt');
  if (!consent || !native) throw new Error('oidc-provider has no native_client_prompt check any more');
  native.check = (ctx) => {
    const { client, params, result } = ctx.oidc;
    const settled = !client || isFirstParty(client) || result?.consent || params?.response_type === 'none';
    return !settled && asksAlways(client, redirectUriOf(ctx));
  };
  return policy;
}

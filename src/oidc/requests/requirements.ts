/**
 * What an app demands of a sign-in: a certain person (`id_token_hint`, the claim `sub`) and a certain kind of sign-in
 * (the claim `acr`). The demands are checked each time an authorization continues, so they still hold when the answer
 * is sent. An unmet demand leads to one sign-in. If it is still unmet, the app receives an error. A `login_hint`
 * demands nothing (OpenID Connect Core, section 3.1.2.1).
 */
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { errors, interactionPolicy } from 'oidc-provider';
import { isPairwise, type Pairwise } from '../clients/pairwise.ts';

/** How the `claims` parameter requests one claim (OpenID Connect Core, section 5.5.1). */
interface Asked {
  essential?: unknown;
  value?: unknown;
  values?: unknown;
}

/** The demands of a request: its verified `id_token_hint`, and its `claims` parameter. */
interface Demands {
  idTokenHint: string | undefined;
  claims: { id_token?: Record<string, Asked | null | undefined> } | undefined;
}

const { Check } = interactionPolicy;

/**
 * The allowed values of a claim. Undefined if any value is allowed. Throws InvalidRequest if `values` is no array.
 */
function valuesOf(asked: Asked | null | undefined): unknown[] | undefined {
  if (asked?.value !== undefined) return [asked.value];
  if (asked?.values === undefined) return undefined;
  if (!Array.isArray(asked.values)) throw new errors.InvalidRequest('values of a claim must be an array');
  return asked.values;
}

/** The `sub` of an ID token hint. The library has already verified the hint. */
function subjectOfHint(hint: string): unknown {
  return JSON.parse(Buffer.from(hint.split('.')[1] ?? '', 'base64url').toString()).sub;
}

/** Whether the answer may be about the person that this client knows as `subject` (section 3.1.2.2). */
export function fitsSubject({ idTokenHint, claims }: Demands, subject: string): boolean {
  if (idTokenHint !== undefined && subjectOfHint(idTokenHint) !== subject) return false;
  return valuesOf(claims?.id_token?.sub)?.includes(subject) ?? true;
}

/** Whether a sign-in with this `acr` is sufficient (section 5.5.1.1). */
export function fitsAcr({ claims }: Pick<Demands, 'claims'>, acr: string | undefined): boolean {
  const asked = claims?.id_token?.acr;
  return !asked?.essential || (valuesOf(asked)?.includes(acr) ?? true);
}

const subjectFor = (pairwise: Pairwise, client: Client, accountId: string): string =>
  isPairwise(client) ? pairwise(accountId, client) : accountId;

/** Replaces the library's checks in its login prompt with ours. Throws if a release has no such checks. */
export function checkRequirements(login: interactionPolicy.Prompt, pairwise: Pairwise): void {
  for (const reason of ['id_token_hint', 'claims_id_token_sub_value', 'essential_acrs', 'essential_acr']) {
    if (!login.checks.get(reason)) throw new Error(`oidc-provider has no ${reason} check any more`);
    login.checks.remove(reason);
  }
  login.checks.add(
    new Check('subject', 'the app asks for another person', 'login_required', (ctx) => {
      const { session, client } = ctx.oidc;
      // The library's own check asks a visitor who is not signed in to sign in.
      if (session?.accountId === undefined || !client) return Check.NO_NEED_TO_PROMPT;
      if (fitsSubject(demandsOf(ctx), subjectFor(pairwise, client, session.accountId)))
        return Check.NO_NEED_TO_PROMPT;
      return signInOnce(ctx, () => new errors.LoginRequired('another person has signed in'));
    }),
  );
  login.checks.add(
    new Check('acr', 'the app asks for another kind of sign-in', 'login_required', (ctx) => {
      const { session } = ctx.oidc;
      if (session?.accountId === undefined || fitsAcr(demandsOf(ctx), session.acr))
        return Check.NO_NEED_TO_PROMPT;
      return signInOnce(ctx, noSuchAcr);
    }),
  );
}

/**
 * Checks the demands of a CIBA request, which names the person and involves no new sign-in. A demand that can never
 * be met is refused immediately: it throws InvalidRequest or UnmetAuthenticationRequirements. `acrs`: the kinds of
 * sign-in that exist here.
 */
export function refuseUnmeetable(
  ctx: KoaContextWithOIDC,
  pairwise: Pairwise,
  accountId: string,
  acrs: readonly string[],
): void {
  const { client } = ctx.oidc;
  const { claims } = demandsOf(ctx);
  const subject = client && subjectFor(pairwise, client, accountId);
  if (subject === undefined || !fitsSubject({ idTokenHint: undefined, claims }, subject))
    throw new errors.InvalidRequest('claims asks for another person than the hint names');
  if (!acrs.some((acr) => fitsAcr({ claims }, acr))) throw noSuchAcr();
}

const noSuchAcr = () => new errors.UnmetAuthenticationRequirements('the requested acr is not to be had here');

const demandsOf = ({ oidc }: KoaContextWithOIDC): Demands => ({
  idTokenHint: oidc.params?.id_token_hint as string | undefined,
  claims: oidc.claims as Demands['claims'],
});

/** Asks for a sign-in. Throws `unmet` if the person has already signed in for this request. */
function signInOnce({ oidc }: KoaContextWithOIDC, unmet: () => Error): boolean {
  if (oidc.result?.login) throw unmet();
  return Check.REQUEST_PROMPT;
}

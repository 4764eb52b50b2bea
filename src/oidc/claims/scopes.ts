/** Describes scopes in words, for the pages that show them. */

const words: Record<string, string> = {
  openid: 'Know who you are when you sign in',
  profile: 'See your username',
  email: 'See your e-mail address',
  offline_access: 'Stay signed in for up to 30 days, also after you sign out here',
};

/** Whether a scope is about the person and does not belong to an API. */
export const isIdentityScope = (scope: string): boolean => Object.hasOwn(words, scope);

/** What a scope lets an app do. The scope of an API is shown by its name. */
export const describeScope = (scope: string): string => words[scope] ?? `Use “${scope}” for you`;

/** Scopes as a page lists them. `openid` is left out if there are others, because it adds nothing to them. */
export const describeScopes = (scopes: string[]): { name: string; description: string }[] =>
  scopes
    .filter((scope) => scope !== 'openid' || scopes.length === 1)
    .map((name) => ({ name, description: describeScope(name) }));

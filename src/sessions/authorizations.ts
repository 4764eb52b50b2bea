/** What oidc-provider notes of each app in its session, by client id. `persistsLogout`: `offline_access` was granted. */
export type Authorizations = Record<string, { grantId?: string; persistsLogout?: boolean }> | null;

/** The grants of the apps that `which` selects by their `persistsLogout`. */
export const grantsOf = (authorizations: Authorizations, which: (persists: boolean) => boolean): string[] =>
  Object.values(authorizations ?? {}).flatMap(({ grantId, persistsLogout = false }) =>
    grantId !== undefined && which(persistsLogout) ? [grantId] : [],
  );

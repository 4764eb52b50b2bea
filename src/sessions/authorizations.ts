/**
 * What oidc-provider records in a session about each app, by client id. `persistsLogout`: `offline_access` was
 * granted.
 */
export type Authorizations = Record<string, { grantId?: string; persistsLogout?: boolean }> | null;

/** The grant ids of the apps that `which` selects by their `persistsLogout`. */
export const grantsOf = (authorizations: Authorizations, which: (persists: boolean) => boolean): string[] =>
  Object.values(authorizations ?? {}).flatMap(({ grantId, persistsLogout = false }) =>
    grantId !== undefined && which(persistsLogout) ? [grantId] : [],
  );

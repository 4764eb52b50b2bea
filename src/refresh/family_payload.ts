/** A family's payload repeats nothing that the row has in a column. It is completed when it is read. */

/** What the row of a family says in columns. */
export interface FamilyColumns {
  grant_id: string;
  client_id: string;
  account_id: string;
  session_uid: string | null;
  offline: boolean;
}

const inColumns: ReadonlySet<string> = new Set([
  'grantId',
  'clientId',
  'accountId',
  'sessionUid',
  'expiresWithSession',
]);

/** The payload to store. */
export const withoutColumns = (payload: object): object =>
  Object.fromEntries(Object.entries(payload).filter(([name]) => !inColumns.has(name)));

/** The payload as it was before `withoutColumns`. */
export const withColumns = (
  payload: Record<string, unknown>,
  { grant_id, client_id, account_id, session_uid, offline }: FamilyColumns,
): Record<string, unknown> => ({
  ...{ grantId: grant_id, clientId: client_id, accountId: account_id },
  ...(session_uid !== null && { sessionUid: session_uid }),
  ...(!offline && { expiresWithSession: true }),
  ...payload,
});

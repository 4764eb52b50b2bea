/** Ends everything that people have granted to a removed app. Pure: it only makes the statement. */

/**
 * The statement that ends the refresh families of a client and deletes its consents and records. Access tokens need
 * no statement, because a token of a removed client is invalid. The statement reads whole tables and can take long.
 * If it is interrupted, the removal must be repeated.
 */
export const endOfClient = (clientId: string, at: Date): [text: string, values: unknown[]] => [
  `with families as (
     update refresh_families set ended_at = $2, ended_because = 'revoked'
     where client_id = $1 and ended_at is null),
   consents_gone as (delete from consents where client_id = $1)
   delete from records where payload->>'clientId' = $1`,
  [clientId, at],
];

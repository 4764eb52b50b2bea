/** Ends all that anybody has granted to an app that is removed. Pure: a statement, for whoever removes it. */

/**
 * Families, consents and records. Access tokens end by themselves: nothing of a client that is gone is taken. For this whole
 * tables are read, which takes its time and, once interrupted, another removal.
 */
export const endOfClient = (clientId: string, at: Date): [text: string, values: unknown[]] => [
  `with families as (
     update refresh_families set ended_at = $2, ended_because = 'revoked'
     where client_id = $1 and ended_at is null),
   consents_gone as (delete from consents where client_id = $1)
   delete from records where payload->>'clientId' = $1`,
  [clientId, at],
];

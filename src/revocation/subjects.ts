/** The subjects of revocations. An access token is checked against every subject that can end it. */
import { sha256 } from '../lib/crypto.ts';

export type Subject = `jti:${string}` | `family:${string}` | `grant:${string}` | `session:${string}`;

/** The claims of an access token that name what can end it. `session` is set if the token ends with its session. */
export interface RevocableToken {
  jti: string;
  family?: string | undefined;
  grant?: string | undefined;
  session?: string | undefined;
}

/**
 * The subject of a grant. It has the hash of the grant's id, because the stored grants of an account have only that.
 */
export const grantSubject = (grantId: string): Subject => `grant:${sha256(grantId)}`;

/** The subjects whose revocation makes the token invalid. */
export function subjectsOf({ jti, family, grant, session }: RevocableToken): Subject[] {
  const subjects: Subject[] = [`jti:${jti}`];
  if (family !== undefined) subjects.push(`family:${family}`);
  if (grant !== undefined) subjects.push(grantSubject(grant));
  if (session !== undefined) subjects.push(`session:${session}`);
  return subjects;
}

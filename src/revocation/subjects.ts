/** What revocations are kept of. An access token is checked against all that can end it. */
import { sha256 } from '../lib/crypto.ts';

export type Subject = `jti:${string}` | `family:${string}` | `grant:${string}` | `session:${string}`;

/** An access token, by what can end it. `session` is there where the token ends with its session. */
export interface RevocableToken {
  jti: string;
  family?: string | undefined;
  grant?: string | undefined;
  session?: string | undefined;
}

/** A grant is named by the hash under which it is stored, so that all of an account's can be listed. */
export const grantSubject = (grantId: string): Subject => `grant:${sha256(grantId)}`;

export function subjectsOf({ jti, family, grant, session }: RevocableToken): Subject[] {
  const subjects: Subject[] = [`jti:${jti}`];
  if (family !== undefined) subjects.push(`family:${family}`);
  if (grant !== undefined) subjects.push(grantSubject(grant));
  if (session !== undefined) subjects.push(`session:${session}`);
  return subjects;
}

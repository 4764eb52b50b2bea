/**
 * Refresh families. All tokens that follow from one authorization code, device code or CIBA request are one family,
 * with or without refresh tokens. Its id is derived from that code. So a code that is presented again identifies
 * exactly the tokens of its first use.
 */
import { sha256 } from '../../lib/crypto.ts';

/** The id of the family that follows from this code. */
export const familyOf = (code: string): string => sha256(`family ${code}`);

/**
 * Refresh families. All that comes of one authorization code (or device code) is one family, whether or not it has refresh
 * tokens; its id is derived from that source, so that a code that is presented again names exactly the tokens of its first
 * use.
 */
import { sha256 } from '../../lib/crypto.ts';

/** The family of all that comes of this code. */
export const familyOf = (code: string): string => sha256(`family ${code}`);

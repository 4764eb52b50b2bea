/**
 * What a browser carries. The **ticket** is the cookie of the parent domain: a PASETO that names the session, and
 * says that it is for forward-auth under this domain. So the issuer's session cookie and another domain's ticket are
 * not accepted here, and this ticket is not accepted there. The **code** brings the ticket to the site. It works
 * once, within a minute, and only for the host and the browser that it was made for.
 */
import { constantTimeEqual, randomId, sha256 } from '../lib/crypto.ts';
import { stateOf, stateText } from '../lib/formats.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Tokens } from '../tokens/tokens.ts';

/** A session and its account. */
export interface Holder {
  accountId: string;
  sessionUid: string;
}

interface Passage extends Holder {
  origin: string;
  /** Where the browser wanted to go. */
  url: string;
  /** The hash of the secret in the browser's cookie of that site. */
  browser: string;
}

const codeForm = /^[\w-]{32}$/;

export interface TicketDeps {
  tokens: Pick<Tokens, 'seal' | 'open'>;
  ephemeral: Pick<Ephemeral, 'put' | 'take'>;
  /** True for the first caller with this id, false for all later ones. `expiresAt` in milliseconds. */
  spend(id: string, expiresAt: number): Promise<boolean>;
  domain: string;
  /** Milliseconds since the epoch. */
  now: () => number;
}

export function createTickets({ tokens, ephemeral, spend, domain, now }: TicketDeps) {
  return {
    /** `expiresAt`: unix seconds. */
    seal: ({ accountId, sessionUid }: Holder, expiresAt: number): Promise<string> =>
      tokens.seal('session', { sub: accountId, sid: sessionUid, use: 'forward_auth', domain }, { expiresAt }),

    async open(ticket: string): Promise<Holder | undefined> {
      const claims = await tokens.open('session', ticket);
      if (claims?.use !== 'forward_auth' || claims.domain !== domain) return undefined;
      return { accountId: String(claims.sub), sessionUid: String(claims.sid) };
    },

    async issueCode(passage: Passage): Promise<string> {
      const code = randomId(24);
      await ephemeral.put(
        `forward_auth:${sha256(code)}`,
        stateText('siteCode', passage),
        lifeSeconds.siteCode,
      );
      return code;
    },

    /**
     * Undefined unless this is the site and the browser that the code was made for. The code is used up in any case.
     */
    async takeCode(code: string, origin: string, secret: string): Promise<Passage | undefined> {
      if (!codeForm.test(code)) return undefined;
      const key = `forward_auth:${sha256(code)}`;
      const passage = stateOf<Passage>('siteCode', await ephemeral.take(key));
      if (!passage || !(await spend(key, now() + lifeSeconds.siteCode * 1000))) return undefined;
      if (passage.origin !== origin || !constantTimeEqual(passage.browser, sha256(secret))) return undefined;
      return passage;
    },
  };
}

export type Tickets = ReturnType<typeof createTickets>;

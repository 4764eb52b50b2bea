/**
 * The session of one app in all tabs of a browser: who is signed in, a valid access token whenever one is needed, and
 * the sign-out. Tokens are kept in memory only. After a reload, they come from another tab, or from the provider
 * without showing a page (`prompt=none`). That happens in the top-level window, because the provider may not be
 * framed and browsers block third-party cookies.
 */
import { SessionError } from './error.ts';
import { createHeldTokens, type Tokens } from './held_tokens.ts';
import { createProtocol, randomText } from './protocol.ts';
import { createRedirects } from './redirects.ts';
import { createRenewal, share } from './renewal.ts';
import { createTabs } from './tabs.ts';
import type { Session, SessionOptions, SessionState } from './types.ts';

const behindMs = 200;

/**
 * A page that has just loaded asks the other tabs. They answer within a few milliseconds, or a few more in the
 * background. If there is none, the provider is asked.
 */
const answerMs = 500;

export function createSession(options: SessionOptions): Session {
  const { issuer, clientId, redirectUri, postLogoutRedirectUri } = options;
  const protocol = createProtocol(options);
  const key = `cypher ${issuer} ${clientId}`;
  const redirects = createRedirects({ issuer, redirectUri, key, protocol });
  const tabs = createTabs<Tokens>({
    name: key,
    mine: () => held.current(),
    onTokens(next) {
      // The localStorage of this tab may lag a little behind another process's message.
      if (tabs.newest() === next.name) held.adopt(next);
      else setTimeout(() => held.adopt(next), behindMs);
    },
    onOver: (reason) => held.drop(reason),
  });
  const held = createHeldTokens({ isNewest: (name) => tabs.newest() === name, renew: () => renew() });
  const parts = { protocol, tabs, held };
  const renew = createRenewal(parts);

  async function takeAnswer(): Promise<SessionState> {
    const { pending, code, error } = redirects.takeAnswer();
    if (code === undefined) {
      if (!pending.silent) throw new SessionError('provider_refused', error);
      // The provider would have to show a page: nobody is signed in there, or the person has to allow something.
      tabs.setNewest(undefined);
      return held.become({ status: 'signed_out', reason: 'none' });
    }
    const answer = await protocol.exchange(code, pending);
    share(parts, { ...answer, claims: protocol.claimsOf(answer.idToken, pending.nonce), name: randomText() });
    return held.state();
  }

  async function find(): Promise<SessionState> {
    if (redirects.isAnswer()) return takeAnswer();
    const newest = tabs.newest();
    if (newest === undefined) return held.become({ status: 'signed_out', reason: 'none' });
    const theirs = await tabs.ask(newest, answerMs);
    if (theirs) held.adopt(theirs);
    else await redirects.leave(true, {});
    return held.state();
  }

  return {
    get state() {
      return held.state();
    },
    start: () =>
      find().catch((error: unknown) => {
        held.drop('none');
        throw error;
      }),
    signIn: (parameters = {}) => redirects.leave(false, parameters),
    renew: () => redirects.leave(true, {}),
    async accessToken() {
      if (held.current() && held.isDue()) {
        // While the provider cannot be reached, the old token is used until it expires.
        await renew().catch((error: unknown) => {
          const tokens = held.current();
          if (!tokens || Date.now() >= tokens.expiresAt) throw error;
        });
      }
      const tokens = held.current();
      if (!tokens) throw new SessionError('signed_out');
      return tokens.accessToken;
    },
    async signOut() {
      const last = held.current();
      tabs.setNewest(undefined);
      tabs.announce({ over: 'signed_out' });
      held.drop('signed_out');
      if (last?.refreshToken) await protocol.revoke(last.refreshToken);
      location.assign(await protocol.endSessionUrl(last?.idToken, postLogoutRedirectUri));
      await new Promise(() => {});
    },
    subscribe: held.subscribe,
  };
}

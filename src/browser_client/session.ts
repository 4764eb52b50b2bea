/**
 * The session of one app in all tabs of a browser: who is signed in, a good access token whenever one is needed, and the
 * end of it. Tokens are in memory only. A reload gets its tokens from another tab, or from the provider without a page
 * (`prompt=none`) in the top-level window: the provider lets nobody frame it, and third-party cookies are gone anyway.
 */
import { SessionError } from './error.ts';
import { createProtocol, type Pending, randomText, type TokenAnswer } from './protocol.ts';
import { createTabs } from './tabs.ts';
import type { IdTokenClaims, Session, SessionOptions, SessionState, SignedOutReason } from './types.ts';

interface Tokens extends TokenAnswer {
  /** Names this generation of tokens among the tabs. */
  name: string;
  claims: IdTokenClaims;
}

/** A token is renewed when this part of its life is left, or a minute. */
const lastPart = 0.1;
const longestLastMs = 60_000;
/** Shorter than the provider's leeway of 10 s, within which a repeated refresh receives the same tokens. */
const retriesMs = [500, 1000, 2000, 4000];
const laterMs = 15_000;
const behindMs = 200;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export function createSession(options: SessionOptions): Session {
  const { issuer, clientId, redirectUri, postLogoutRedirectUri } = options;
  const protocol = createProtocol(options);
  const key = `cypher ${issuer} ${clientId}`;
  const listeners = new Set<(state: SessionState) => void>();
  let state: SessionState = { status: 'starting' };
  let tokens: Tokens | undefined;
  let renewAt = 0;
  let refreshing: Promise<void> | undefined;
  /** A refresh was sent and not answered: it may have been used up. */
  let unanswered = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const tabs = createTabs<Tokens>({ name: key, mine: () => tokens, onTokens: hear, onOver: over });

  function become(next: SessionState): SessionState {
    state = next;
    for (const listener of listeners) listener(next);
    return next;
  }

  function adopt(next: Tokens): void {
    // What was under way in another tab when the sign-out came.
    if (tabs.newest() !== next.name) return;
    tokens = next;
    unanswered = false;
    const left = next.expiresAt - Date.now();
    renewAt = next.expiresAt - Math.min(longestLastMs, left * lastPart);
    schedule(renewAt - Date.now());
    become({ status: 'signed_in', claims: next.claims });
  }

  /** Another process's localStorage may be a little behind its message. */
  function hear(next: Tokens): void {
    if (tabs.newest() === next.name) adopt(next);
    else setTimeout(() => adopt(next), behindMs);
  }

  function over(reason: SignedOutReason): void {
    tokens = undefined;
    clearTimeout(timer);
    become({ status: 'signed_out', reason });
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (!tokens?.refreshToken) return;
    // Longer than 2^31 ms a timer fires at once.
    timer = setTimeout(
      () => refresh().catch(() => schedule(laterMs)),
      Math.min(Math.max(ms, 0), 2 ** 31 - 1),
    );
  }

  /** Makes these the tokens of all tabs. */
  function share(next: Tokens): void {
    tabs.setNewest(next.name);
    adopt(next);
    tabs.announce({ tokens: next });
  }

  function refresh(): Promise<void> {
    refreshing ??= tabs.exclusively(refreshAlone).finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  async function refreshAlone(): Promise<void> {
    const newest = tabs.newest();
    // While this tab waited for its turn it may have been told that it is over, and why.
    if (!tokens) throw new SessionError('signed_out');
    if (newest === undefined) {
      over('signed_out');
      throw new SessionError('signed_out');
    }
    if (newest !== tokens.name) {
      // Another tab was faster. Ours are used up: to send them again would look like theft.
      const theirs = await tabs.ask(newest);
      if (theirs) adopt(theirs);
      else if (tokens) over('lost');
    }
    if (!tokens) throw new SessionError('signed_out');
    if (Date.now() < renewAt) return;
    const before = tokens;
    const answer = await repeated(before).catch((error: unknown) => {
      if (error instanceof SessionError && error.code === 'provider_refused') {
        over(unanswered ? 'lost' : 'ended');
        // Kept, so that a reload tries without a page; but no tab's tokens have this name.
        tabs.setNewest('renew');
        tabs.announce({ over: 'ended' });
        throw new SessionError('signed_out', error.detail, { cause: error });
      }
      throw error;
    });
    if (tabs.newest() !== before.name) throw new SessionError('signed_out');
    share({ ...before, ...answer, idToken: answer.idToken ?? before.idToken, name: randomText() });
  }

  /** A lost answer is asked for again with the same token, and received while the provider's leeway lasts. */
  async function repeated({ refreshToken }: Tokens): Promise<TokenAnswer> {
    if (!refreshToken) throw new SessionError('provider_refused', 'no refresh token');
    for (const delay of [...retriesMs, undefined]) {
      try {
        const answer = await protocol.refresh(refreshToken);
        return { ...answer, refreshToken: answer.refreshToken ?? refreshToken };
      } catch (error) {
        if (!(error instanceof SessionError) || error.code !== 'provider_unreachable') throw error;
        unanswered = true;
        if (delay === undefined) throw error;
        await sleep(delay);
      }
    }
    throw new SessionError('provider_unreachable');
  }

  async function leaveForProvider(silent: boolean, parameters: Record<string, string>): Promise<void> {
    const name = randomText();
    const isAnswer =
      location.href.split(/[?#]/)[0] === redirectUri && new URLSearchParams(location.search).has('state');
    const pending: Pending = {
      nonce: randomText(),
      verifier: randomText(),
      silent,
      returnTo: isAnswer ? redirectUri : location.href,
    };
    const url = await protocol.authorizationUrl(name, pending, parameters);
    sessionStorage.setItem(`${key} ${name}`, JSON.stringify(pending));
    location.assign(url);
    // The page is being left.
    await new Promise(() => {});
  }

  /** The provider's answer in this page's address, and what it belongs to. Each serves once. */
  async function takeAnswer(parameters: URLSearchParams): Promise<SessionState> {
    const item = `${key} ${parameters.get('state')}`;
    const text = sessionStorage.getItem(item);
    sessionStorage.removeItem(item);
    const pending = text === null ? undefined : (JSON.parse(text) as Pending);
    // The code leaves the address bar and the history before anything else is done with it.
    history.replaceState(history.state, '', pending?.returnTo ?? redirectUri);
    if (!pending) throw new SessionError('state_mismatch');
    if (parameters.get('iss') !== issuer) throw new SessionError('issuer_mismatch');
    const [error, code] = [parameters.get('error'), parameters.get('code')];
    if (error !== null || code === null) {
      if (!pending.silent) throw new SessionError('provider_refused', error ?? 'no code');
      // The provider would have to show a page: nobody is signed in there, or something is to be allowed anew.
      tabs.setNewest(undefined);
      return become({ status: 'signed_out', reason: 'none' });
    }
    const answer = await protocol.exchange(code, pending);
    share({ ...answer, claims: protocol.claimsOf(answer.idToken, pending.nonce), name: randomText() });
    return state;
  }

  async function find(): Promise<SessionState> {
    const parameters = new URLSearchParams(location.search);
    if (location.href.split(/[?#]/)[0] === redirectUri && parameters.has('state'))
      return takeAnswer(parameters);
    const newest = tabs.newest();
    if (newest === undefined) return become({ status: 'signed_out', reason: 'none' });
    const theirs = await tabs.ask(newest);
    if (theirs) adopt(theirs);
    else await leaveForProvider(true, {});
    return state;
  }

  return {
    get state() {
      return state;
    },
    start: () =>
      find().catch((error: unknown) => {
        over('none');
        throw error;
      }),
    signIn: (parameters = {}) => leaveForProvider(false, parameters),
    renew: () => leaveForProvider(true, {}),
    async accessToken() {
      if (tokens && Date.now() >= renewAt) {
        // Until it expires, the old one does while the provider cannot be reached.
        await refresh().catch((error: unknown) => {
          if (!tokens || Date.now() >= tokens.expiresAt) throw error;
        });
      }
      if (!tokens) throw new SessionError('signed_out');
      return tokens.accessToken;
    },
    async signOut() {
      const last = tokens;
      tabs.setNewest(undefined);
      tabs.announce({ over: 'signed_out' });
      over('signed_out');
      if (last?.refreshToken) await protocol.revoke(last.refreshToken);
      location.assign(await protocol.endSessionUrl(last?.idToken, postLogoutRedirectUri));
      await new Promise(() => {});
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

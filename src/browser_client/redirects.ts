/**
 * Sends the browser to the provider, and takes the answer when it returns. What was asked for is kept in
 * sessionStorage, and each answer is taken once.
 */
import { SessionError } from './error.ts';
import { type Pending, type Protocol, randomText } from './protocol.ts';

export interface RedirectsOptions {
  issuer: string;
  redirectUri: string;
  /** The prefix of the names in sessionStorage. */
  key: string;
  protocol: Protocol;
}

/** The answer with which the provider sent the browser back. */
export interface ProviderAnswer {
  pending: Pending;
  code: string | undefined;
  error: string;
}

export function createRedirects({ issuer, redirectUri, key, protocol }: RedirectsOptions) {
  const isAnswer = (): boolean =>
    location.href.split(/[?#]/)[0] === redirectUri && new URLSearchParams(location.search).has('state');
  return {
    /** Whether this page's address contains an answer of the provider. */
    isAnswer,
    /** Leaves the page. Never resolves. */
    async leave(silent: boolean, parameters: Record<string, string>): Promise<never> {
      const name = randomText();
      const pending: Pending = {
        nonce: randomText(),
        verifier: randomText(),
        silent,
        returnTo: isAnswer() ? redirectUri : location.href,
      };
      const url = await protocol.authorizationUrl(name, pending, parameters);
      sessionStorage.setItem(`${key} ${name}`, JSON.stringify(pending));
      location.assign(url);
      return new Promise<never>(() => {});
    },
    /**
     * Takes the answer out of this page's address. Throws SessionError if it belongs to no request of this tab, or
     * comes from another provider.
     */
    takeAnswer(): ProviderAnswer {
      const parameters = new URLSearchParams(location.search);
      const item = `${key} ${parameters.get('state')}`;
      const text = sessionStorage.getItem(item);
      sessionStorage.removeItem(item);
      const pending = text === null ? undefined : (JSON.parse(text) as Pending);
      // Before anything else, the code is removed from the address bar and the history.
      history.replaceState(history.state, '', pending?.returnTo ?? redirectUri);
      if (!pending) throw new SessionError('state_mismatch');
      if (parameters.get('iss') !== issuer) throw new SessionError('issuer_mismatch');
      const [error, code] = [parameters.get('error'), parameters.get('code')];
      return {
        pending,
        code: error === null ? (code ?? undefined) : undefined,
        error: error ?? 'no code',
      };
    },
  };
}

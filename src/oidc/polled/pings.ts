/**
 * Notifications to clients in ping mode that their request was answered (OpenID CIBA Core 1.0, section 10.2). A ping
 * contains the client's notification token and the request's id. Whoever has them could notify the client falsely, or
 * ask for the tokens with the client's credentials. So a ping is stored sealed.
 */
import { type Sealer, sha256 } from '../../lib/crypto.ts';
import { NotTaken } from '../../lib/errors.ts';
import { stateOf, stateText } from '../../lib/formats.ts';
import type { Ping } from './ciba.ts';

export interface PingDeps {
  sealer: Pick<Sealer, 'seal' | 'unseal'>;
  /** Keeps the message until the request that `about` names is answered. */
  hold(message: { clientId: string; accountId: string; about: string; sealed: Buffer }): Promise<void>;
}

export interface HeldPing {
  clientId: string;
  about: string | undefined;
  sealed: Buffer | undefined;
}

/**
 * Sends one ping. Resolves with false if the client is gone or has no address for it. Rejects unless the client
 * answers with 200 or 204.
 */
export type SendPing = (clientId: string, ping: { requestId: string; token: string }) => Promise<boolean>;

/** What the library rejects with. `response` is set if the client has answered. */
type Failure = Error & { response?: { status: number } };

const identityOf = (about: string): string => `deliveries ${about} sealed`;

export function createPings({ sealer, hold }: PingDeps) {
  return {
    async hold({ requestId, token, clientId, accountId }: Ping): Promise<void> {
      // The record of the request is stored under the same hash.
      const about = sha256(requestId);
      const sealed = sealer.seal(Buffer.from(stateText('ping', { requestId, token })), identityOf(about));
      await hold({ clientId, accountId, about, sealed });
    },
    /**
     * Sends a held ping. Resolves with false if the client is gone or has no address for it. Rejects unless the
     * client answers with 200 or 204. The error is NotTaken if the client answers with 3xx or 4xx: then the ping must
     * not be repeated (CIBA Core, section 10.2).
     */
    async send(ping: SendPing, { clientId, about, sealed }: HeldPing): Promise<boolean> {
      if (!about || !sealed) return false;
      const text = sealer.unseal(sealed, identityOf(about)).toString('utf8');
      const held = stateOf<{ requestId: string; token: string }>('ping', text);
      // It is tried again later, when an instance may run that reads it.
      if (!held) throw new Error('this notification was kept by another version of the server');
      return ping(clientId, held).catch((error: Failure) => {
        const { status = 0 } = error.response ?? {};
        throw status >= 300 && status < 500 ? new NotTaken(error.message, { cause: error }) : error;
      });
    },
  };
}

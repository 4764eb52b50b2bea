/**
 * Notifications to clients in ping mode that their request was answered (OpenID CIBA Core 1.0, section 10.2). What is
 * sent would let its bearer tell the client so, or ask for the tokens with the client's credentials: it waits sealed.
 */
import { type Sealer, sha256 } from '../../lib/crypto.ts';
import { NotTaken } from '../../lib/errors.ts';
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

/** Sends one. False where the client is gone or has no address for it; rejects unless it answers 200 or 204. */
export type SendPing = (clientId: string, ping: { requestId: string; token: string }) => Promise<boolean>;

/** What the library rejects with: `response` where there was an answer. */
type Failure = Error & { response?: { status: number } };

const identityOf = (about: string): string => `deliveries ${about} sealed`;

export function createPings({ sealer, hold }: PingDeps) {
  return {
    async hold({ requestId, token, clientId, accountId }: Ping): Promise<void> {
      // As the request's record is stored.
      const about = sha256(requestId);
      const sealed = sealer.seal(Buffer.from(JSON.stringify({ requestId, token })), identityOf(about));
      await hold({ clientId, accountId, about, sealed });
    },
    /**
     * False where the client is gone or has no address for it. Rejects unless it answers 200 or 204: with NotTaken where it
     * answers with a redirect or a refusal, which CIBA Core, section 10.2, does not have repeated.
     */
    async send(ping: SendPing, { clientId, about, sealed }: HeldPing): Promise<boolean> {
      if (!about || !sealed) return false;
      const held = JSON.parse(sealer.unseal(sealed, identityOf(about)).toString('utf8'));
      return ping(clientId, held).catch((error: Failure) => {
        const { status = 0 } = error.response ?? {};
        throw status >= 300 && status < 500 ? new NotTaken(error.message, { cause: error }) : error;
      });
    },
  };
}

/**
 * Devices and apps that poll for an answer (RFC 8628, section 3.5; CIBA Core, section 11): how often they may, which
 * oidc-provider leaves open. Overrides DeviceCode.find and BackchannelAuthenticationRequest.find, which its token
 * endpoint calls once for each poll. test/http/device_flow.test.ts breaks where a release does otherwise.
 */
import type Provider from 'oidc-provider';
import ProviderClass, { errors } from 'oidc-provider';
import { sha256 } from '../../lib/crypto.ts';

/** What is told to those who poll. */
export const pollSeconds = 5;

/** A little less than what is told: a poll that comes early by the network's whim is none too fast. */
export const leastPollSeconds = pollSeconds - 1;

interface Polled {
  clientId: string;
  isExpired: boolean;
  error?: string;
  grantId?: string;
}

/** `tooSoon`: whether the code of this hash was asked about within `leastPollSeconds`. */
export function slowDownPolls(provider: Provider, tooSoon: (codeHash: string) => Promise<boolean>): void {
  for (const name of ['DeviceCode', 'BackchannelAuthenticationRequest'] as const) {
    const Model = provider[name] as unknown as {
      find(value: string, options?: object): Promise<Polled | undefined>;
    };
    const find = Model.find.bind(Model);
    Model.find = async (value, options) => {
      const code = await find(value, options);
      const oidc = ProviderClass.ctx?.oidc;
      if (!code || oidc?.route !== 'token' || code.clientId !== oidc.client?.clientId) return code;
      // One that is answered goes on at once: of parallel polls one begins the family, and all receive its refresh token.
      const waits = !code.grantId && !code.error && !code.isExpired;
      if (waits && (await tooSoon(sha256(value)))) throw new errors.SlowDown();
      return code;
    };
  }
  provider.on('device_authorization.success', (_ctx, body) => {
    Object.assign(body as object, { interval: pollSeconds });
  });
}

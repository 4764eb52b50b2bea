/**
 * Override of oidc-provider's ReplayDetection: the library looks first and stores afterwards, so that of parallel replays
 * of one assertion or DPoP proof several would pass. Here one statement decides. Each user of it answers a replay with
 * its own error. test/http/provider_internals.test.ts breaks where a release detects replays otherwise.
 */
import type Provider from 'oidc-provider';
import { sha256 } from '../lib/crypto.ts';

/** True for the first of all users of `id`, false for the others, until `expiresAt` (milliseconds since the epoch). */
export type Spend = (id: string, expiresAt: number) => Promise<boolean>;

/** Makes the detection of replayed `jti`s race-proof. */
export function detectReplaysAtOnce(provider: Provider, spend: Spend): void {
  const Model = provider.ReplayDetection as unknown as {
    /** `expiresAt` in unix seconds. */
    unique(issuer: string, jti: string, expiresAt: number): Promise<boolean>;
  };
  Model.unique = (issuer, jti, expiresAt) =>
    spend(`jti:${sha256(JSON.stringify([issuer, jti]))}`, expiresAt * 1000);
}

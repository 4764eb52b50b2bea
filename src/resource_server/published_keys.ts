/**
 * The keys that an issuer publishes at /.well-known/paseto-keys, kept as long as its cache headers say. Of concurrent
 * requests one fetches them while the others wait. Fetches are never more frequent than a fixed limit, whatever key
 * ids tokens name.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type Fetch, fetchJson } from './fetch_json.ts';
import { Refused } from './refusal.ts';

/** The least time between two fetches. Without it strangers, who can name any key id, could cause any number. */
const floorMs = 5000;
/** If the answer does not say how long it is valid. */
const usualMs = 300_000;
const longestMs = 86_400_000;
/**
 * How long the last keys are used while the issuer does not answer. Its tokens are valid for 15 minutes at most, so a
 * longer time would help nobody. An attacker who blocks the issuer's answer can keep a dropped key in use for this
 * long and no longer.
 */
const staleMs = 3_600_000;
const mostKeys = 100;

// RFC 8410, section 4: the prefix of the 32 bytes of an Ed25519 public key in SPKI.
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export interface PublishedKeysOptions {
  issuer: string;
  fetch: Fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/**
 * `keyOf(kid)` returns the Ed25519 key with this id. Throws Refused `token_unknown_key` or `provider_unreachable`.
 */
export function createPublishedKeys({ issuer, fetch, now }: PublishedKeysOptions) {
  let keys: ReadonlyMap<string, KeyObject> = new Map();
  let goodUntil = Number.NEGATIVE_INFINITY;
  let lastTry = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let underWay: Promise<void> | undefined;

  async function read(): Promise<void> {
    lastTry = now();
    try {
      const { headers, json } = await fetchJson(fetch, `${issuer}/.well-known/paseto-keys`);
      keys = keysIn(json, issuer);
      goodUntil = now() + lifeMs(headers);
      failure = undefined;
    } catch (error) {
      failure = error;
    } finally {
      underWay = undefined;
    }
  }

  /** Waits for the fetch in progress, or starts one unless the last one is too recent. */
  async function refresh(): Promise<void> {
    if (!underWay && now() - lastTry < floorMs) return;
    underWay ??= read();
    await underWay;
  }

  return async function keyOf(kid: string): Promise<KeyObject> {
    if (now() >= goodUntil || !keys.has(kid)) await refresh();
    // The limit on fetches also holds if the answer is valid for less time than that.
    const lastsMs = failure === undefined ? floorMs : staleMs;
    if (now() >= goodUntil + lastsMs) throw new Refused('provider_unreachable', failure);
    const key = keys.get(kid);
    if (key) return key;
    throw new Refused(failure === undefined ? 'token_unknown_key' : 'provider_unreachable', failure);
  };
}

function keysIn(json: unknown, issuer: string): ReadonlyMap<string, KeyObject> {
  const { issuer: named, keys } = json as { issuer?: unknown; keys?: unknown };
  if (named !== issuer) throw new Error(`the keys at ${issuer} are those of ${String(named)}`);
  if (!Array.isArray(keys) || keys.length > mostKeys) throw new Error('this is no list of PASETO keys');
  const found = new Map<string, KeyObject>();
  for (const { kid, paserk } of keys as { kid?: unknown; paserk?: unknown }[]) {
    // Skip keys of other versions or purposes: they must not keep the others from being used.
    const [, encoded] = /^k4\.public\.([\w-]{43})$/.exec(String(paserk)) ?? [];
    if (typeof kid !== 'string' || encoded === undefined) continue;
    const der = Buffer.concat([spkiPrefix, Buffer.from(encoded, 'base64url')]);
    found.set(kid, createPublicKey({ key: der, format: 'der', type: 'spki' }));
  }
  return found;
}

/** How long the answer may be kept (RFC 9111, section 5.2.2). */
function lifeMs(headers: Headers): number {
  const control = headers.get('cache-control') ?? '';
  if (/\bno-(store|cache)\b/i.test(control)) return 0;
  const [, seconds] = /\bmax-age=(\d{1,10})/i.exec(control) ?? [];
  if (seconds === undefined) return usualMs;
  const age = Number(headers.get('age') ?? 0) || 0;
  return Math.max(0, Math.min(longestMs, (Number(seconds) - age) * 1000));
}

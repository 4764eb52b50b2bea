/**
 * The keys that an issuer publishes at /.well-known/paseto-keys, kept as long as its cache headers say. Of any number of
 * requests one fetches while the others wait, and not more often than the floor allows, whatever key ids they name.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type Fetch, fetchJson } from './fetch_json.ts';
import { Refused } from './refusal.ts';

/** Between two fetches lie at least that many milliseconds: strangers choose key ids as they like. */
const floorMs = 5000;
/** Where the answer names no time. */
const usualMs = 300_000;
const longestMs = 86_400_000;
/**
 * How long the last keys serve while the issuer does not answer. Its tokens live 15 minutes at most, so nobody is served
 * longer by more; and whoever keeps the issuer's answer away cannot keep a dropped key alive beyond it.
 */
const staleMs = 3_600_000;
const mostKeys = 100;

// RFC 8410, section 4: what stands before the 32 bytes of an Ed25519 public key in SPKI.
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export interface PublishedKeysOptions {
  issuer: string;
  fetch: Fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** `keyOf(kid)`: the Ed25519 key of this id. Throws Refused `token_unknown_key` or `provider_unreachable`. */
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

  /** Waits for the fetch under way, or begins one unless the last is too recent. */
  async function refresh(): Promise<void> {
    if (!underWay && now() - lastTry < floorMs) return;
    underWay ??= read();
    await underWay;
  }

  return async function keyOf(kid: string): Promise<KeyObject> {
    if (now() >= goodUntil || !keys.has(kid)) await refresh();
    // The floor holds also where the answer is good for less than it.
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

/**
 * The verifier takes one request and returns an access or a refusal. It owns the order of the checks: form, token,
 * binding, proof, scopes. Nothing that a request can contain makes it throw.
 */
import type { Access } from './access.ts';
import { createProofs, hasDotSegments } from './dpop.ts';
import type { Fetch } from './fetch_json.ts';
import { createIntrospection } from './introspection.ts';
import { type ResourceMetadata, resourceMetadata } from './metadata.ts';
import { verifyOffline } from './offline.ts';
import { createPublishedKeys } from './published_keys.ts';
import { type Refusal, Refused, refusalOf } from './refusal.ts';

export interface VerifierOptions {
  /** The provider's issuer, as its discovery document spells it: an origin, or an address with a path. */
  issuer: string;
  /** The `aud` of tokens for this API: the `audience` of its entry in RESOURCES_FILE. */
  audience: string;
  /**
   * If given, the provider is asked about each token, and revocations are seen. Otherwise v4.public tokens are
   * verified offline.
   */
  introspection?: {
    clientId: string;
    clientSecret: string;
    /** How long an answer may be reused: 0 to 60. Default 1. */
    cacheSeconds?: number;
  };
  /** The address under which clients reach this API. DPoP proofs name it. Default: the origin of `audience`. */
  baseUrl?: string;
  /** The scopes that the API knows, for its metadata (RFC 9728). */
  scopes?: readonly string[];
  /** Refuses tokens that are not bound to a key. Default false. */
  requireDpop?: boolean;
  /** How much clocks may differ: 0 to 60. Default 10. */
  toleranceSeconds?: number;
  fetch?: Fetch;
  /** Milliseconds since the epoch. */
  now?: () => number;
}

/**
 * The parts of a request that matter. Pass a header that came twice joined by commas, as Node does; it is then
 * refused.
 */
export interface IncomingRequest {
  method: string;
  /** Path and query as the client sent them. */
  path: string;
  authorization?: string | undefined;
  dpop?: string | undefined;
}

export type Verdict = { ok: true; access: Access } | { ok: false; refusal: Refusal };

export interface Verifier {
  /** Whether the request carries a valid token with all these scopes. */
  verify(request: IncomingRequest, scopes?: readonly string[]): Promise<Verdict>;
  /** The API's metadata for apps. Undefined if `audience` is not a web address. */
  metadata: ResourceMetadata | undefined;
}

const longestToken = 8192;

/** Throws TypeError for invalid options. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, audience, introspection, requireDpop = false, toleranceSeconds = 10 } = options;
  const { fetch = globalThis.fetch, now = Date.now } = options;
  const { cacheSeconds = 1 } = introspection ?? {};
  if (!isIssuer(issuer))
    throw new TypeError('issuer must be an http(s) URL without query, fragment or a slash at the end');
  const baseUrl = (options.baseUrl ?? webOrigin(audience))?.replace(/\/$/, '');
  if (!baseUrl || !webOrigin(baseUrl))
    throw new TypeError('baseUrl must be an http(s) URL where audience is none');
  if (!(toleranceSeconds >= 0 && toleranceSeconds <= 60))
    throw new TypeError('toleranceSeconds must be 0 to 60');
  if (!(cacheSeconds >= 0 && cacheSeconds <= 60)) throw new TypeError('cacheSeconds must be 0 to 60');

  const expected = () => ({ issuer, audience, toleranceSeconds, nowSeconds: now() / 1000 });
  const keyOf = createPublishedKeys({ issuer, fetch, now });
  const introspect =
    introspection && createIntrospection({ ...introspection, issuer, cacheSeconds, fetch, now });
  const checkProof = createProofs(now);

  async function check(request: IncomingRequest, scopes: readonly string[]): Promise<Access> {
    const { scheme, token } = credentialsOf(request);
    if (token === undefined) throw new Refused('token_missing');
    const access = introspect
      ? await introspect(token, expected())
      : await verifyOffline(token, keyOf, expected());
    const { boundTo } = access;
    if (scheme === 'bearer') {
      // A stolen bound token must be useless, also as a Bearer token (RFC 9449, section 7.1).
      if (boundTo !== undefined) throw new Refused('token_bound');
      if (requireDpop) throw new Refused('token_unbound');
    } else {
      if (boundTo === undefined) throw new Refused('token_unbound');
      if (!request.dpop) throw new Refused('proof_missing');
      if (!request.path.startsWith('/') || hasDotSegments(request.path))
        throw new Refused('request_malformed');
      const url = `${baseUrl}${request.path}`;
      checkProof(request.dpop, { method: request.method, url, token, boundTo, toleranceSeconds });
    }
    if (!scopes.every((scope) => access.scopes.includes(scope))) throw new Refused('scope_missing');
    return access;
  }

  const metadata = resourceMetadata({ issuer, audience, scopes: options.scopes, requireDpop });
  return {
    metadata,
    async verify(request, scopes = []) {
      try {
        return { ok: true, access: await check(request, scopes) };
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const scheme = schemeOf(request.authorization);
        const refusal = refusalOf(error.code, {
          realm: audience,
          scheme: scheme && (scheme === 'dpop' ? 'DPoP' : 'Bearer'),
          scopes,
          metadataUrl: metadata?.url,
          cause: error.cause,
        });
        return { ok: false, refusal };
      }
    },
  };
}

function schemeOf(authorization: string | undefined): 'bearer' | 'dpop' | undefined {
  const [, scheme] = /^(bearer|dpop) /i.exec(authorization ?? '') ?? [];
  return scheme?.toLowerCase() as 'bearer' | 'dpop' | undefined;
}

/** Any other scheme counts as no token: this verifier is not responsible for it. Throws Refused. */
function credentialsOf({ authorization }: IncomingRequest): { scheme?: 'bearer' | 'dpop'; token?: string } {
  const scheme = schemeOf(authorization);
  if (!scheme || authorization === undefined) return {};
  if (authorization.length > longestToken) throw new Refused('token_malformed');
  const [, token] = /^[a-z]+ +([\w.~+/-]+=*)$/i.exec(authorization) ?? [];
  if (token === undefined) throw new Refused('request_malformed');
  return { scheme, token };
}

/** RFC 8414, section 2. */
function isIssuer(value: string): boolean {
  const origin = webOrigin(value);
  return (
    origin !== undefined && !/[?#]|\/$/.test(value) && (value === origin || value.startsWith(`${origin}/`))
  );
}

function webOrigin(value: string): string | undefined {
  // URL.parse is not in Node 20.
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url && /^https?:$/.test(url.protocol) ? url.origin : undefined;
}

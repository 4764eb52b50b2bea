/**
 * Protected resource metadata (RFC 9728). An app that knows only the API learns from it who issues the API's tokens.
 * Pure.
 */
import { proofAlgorithms } from './refusal.ts';

/** The metadata document, and where it is served. */
export interface ResourceMetadata {
  /** Its address. Challenges name it as `resource_metadata`. */
  url: string;
  /** The path of that address. */
  path: string;
  document: Readonly<Record<string, unknown>>;
}

export interface MetadataOptions {
  issuer: string;
  audience: string;
  scopes: readonly string[] | undefined;
  requireDpop: boolean;
}

/**
 * Undefined if the audience is not a web address: such an API has no place for its metadata (RFC 9728, section 1.2).
 */
export function resourceMetadata(options: MetadataOptions): ResourceMetadata | undefined {
  const { issuer, audience, scopes, requireDpop } = options;
  const resource = URL.canParse(audience) ? new URL(audience) : undefined;
  if (!resource || !/^https?:$/.test(resource.protocol)) return undefined;
  // RFC 9728, section 3.1: between host and path. A path that is only a slash is left out.
  const path = `/.well-known/oauth-protected-resource${resource.pathname.replace(/^\/$/, '')}`;
  return {
    path,
    url: `${resource.origin}${path}${resource.search}`,
    document: {
      resource: audience,
      authorization_servers: [issuer],
      ...(scopes && { scopes_supported: [...scopes] }),
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: [...proofAlgorithms],
      dpop_bound_access_tokens_required: requireDpop,
    },
  };
}

/** The document is public, and pages of any origin may read it. */
export const metadataHeaders: Readonly<Record<string, string>> = {
  'Cache-Control': 'public, max-age=300',
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Headers': '*',
};

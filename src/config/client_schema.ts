/** The schemas of an app's entry: one for apps in general, one for the entries of CLIENTS_FILE. Pure. */
import * as z from 'zod';
import { clientClaimsSchema } from './client_claims.ts';
import { forwardAuthClientPrefix } from './forward_auth.ts';

const loopbackHosts = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Whether `value` is an https URL, or an http URL of this machine. */
export function isSecureUrl(value: string): boolean {
  const url = URL.parse(value);
  if (!url) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && loopbackHosts.has(url.hostname));
}

/** Whether `value` is https, http on this machine, or the scheme of a native app, without a fragment. */
export function isRedirectUri(value: string): boolean {
  const url = URL.parse(value);
  // The address becomes a header unchanged. RFC 3986 allows no other characters.
  if (!url || url.hash || !/^[\x21-\x7E]+$/.test(value)) return false;
  // The host becomes part of a content security policy, so it must not contain characters that end a directive.
  if (!/^(\[[\da-f:.]+\]|[\w.-]*)$/.test(url.hostname)) return false;
  if (url.protocol === 'http:' || url.protocol === 'https:') return isSecureUrl(value);
  // The scheme of a native app is a reverse domain name (RFC 8252, section 7.1). This excludes javascript: and data:.
  return url.protocol.includes('.');
}

const redirectUri = z
  .string()
  .refine(
    isRedirectUri,
    'must be https, http on localhost, or an app scheme such as com.example.app:/callback, without a fragment',
  );

/** The client id of the account page, which is a client like the apps. */
export const accountClientId = 'cypher-account';

const clientMetadata = {
  client_id: z
    .string()
    .regex(/^[\x20-\x7E]{1,255}$/, 'must be 1 to 255 printable ASCII characters')
    .refine((id) => id !== accountClientId, 'must be another one: this is the account page')
    .refine(
      (id) => !id.startsWith(forwardAuthClientPrefix),
      'must be another one: this is a site of forward-auth',
    ),
  client_name: z.string('must be text').max(200, 'must be 200 characters at most').optional(),
  redirect_uris: z.array(redirectUri, 'must be an array').optional(),
  post_logout_redirect_uris: z.array(redirectUri, 'must be an array').optional(),
  first_party: z.boolean('must be true or false').default(false),
  require_pkce: z.boolean('must be true or false').default(true),
  /** Whether the answer to a refresh has a new ID token. */
  id_token_at_refresh: z.boolean('must be true or false').default(true),
  /** The profile that the app must follow: FAPI 2.0 security, FAPI 2.0 with message signing, or FAPI-CIBA. */
  fapi: z
    .enum(['security', 'message_signing', 'ciba'], { error: 'must be security, message_signing or ciba' })
    .optional(),
  claims: clientClaimsSchema.optional(),
  token_endpoint_auth_method: z.string().default('client_secret_basic'),
  grant_types: z.array(z.string(), 'must be an array').default(['authorization_code']),
};

interface Redirecting {
  grant_types: string[];
  redirect_uris?: string[] | undefined;
}

const codesGoSomewhere = (client: Redirecting, context: z.RefinementCtx) => {
  if (!client.grant_types.includes('authorization_code') || client.redirect_uris?.length) return;
  context.addIssue({
    code: 'custom',
    path: ['redirect_uris'],
    message: 'must name at least one address, or "grant_types" be without authorization_code',
  });
};

/**
 * An app without its secrets. The names come from OpenID registration, plus five of ours. oidc-provider checks more.
 */
export const clientSchema = z.looseObject(clientMetadata).superRefine(codesGoSomewhere);

export type ClientMetadata = z.infer<typeof clientSchema>;

const clientSecret = z
  .string()
  .max(1024, 'is too long')
  .regex(/^[\x20-\x7E]+$/, 'must be printable ASCII, such as what openssl rand -hex 32 prints')
  .refine(
    (value) => !value.startsWith('sha256:') || /^sha256:[\w-]{43}$/.test(value),
    'must be sha256: and the SHA-256 of the secret as base64url, 43 characters',
  );

/** One entry of CLIENTS_FILE: an app with its secret, or with two while a new one replaces the old one. */
export const fileClientSchema = z
  .looseObject({
    ...clientMetadata,
    client_secret: clientSecret.optional(),
    client_secrets: z.array(clientSecret, 'must be an array').max(2, 'must be two at most').optional(),
  })
  .superRefine((client, context) => {
    if (!client.token_endpoint_auth_method.startsWith('client_secret_')) return;
    const given = client.client_secret === undefined ? client.client_secrets : [client.client_secret];
    if (given?.length) return;
    context.addIssue({
      code: 'custom',
      path: ['client_secret'],
      message: 'must be given, or "token_endpoint_auth_method": "none" for an app without a server',
    });
  })
  .superRefine(codesGoSomewhere);

export type FileClient = z.infer<typeof fileClientSchema>;

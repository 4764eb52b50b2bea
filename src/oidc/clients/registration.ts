/**
 * Dynamic registration (RFC 7591) and its management (RFC 7592), if REGISTRATION allows it. This file decides what a
 * self-registered client may be and what the answers contain. oidc-provider owns the endpoints, and our registry
 * stores the clients.
 */
import type { Context, Middleware } from 'koa';
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { errors } from 'oidc-provider';
import { nameFault } from '../../clients/names.ts';
import { clientSchema } from '../../config/client_schema.ts';
import type { Config } from '../../config/load.ts';
import type { Resource } from '../../config/schema.ts';
import { pathOf } from '../../http/rate_limit.ts';
import { randomId } from '../../lib/crypto.ts';
import { isIdentityScope } from '../claims/scopes.ts';
import { mayBeStrangers } from './policy.ts';
import { isUnknownSecret } from './unknown_secret.ts';

/** Where self-registered clients are kept. */
export interface Registrations {
  /** Adds or changes a client. `secret`: its new secret, or undefined if it has none or keeps the old one. */
  save(metadata: { client_id: string }, secret: string | undefined): Promise<void>;
  remove(id: string): Promise<void>;
  /** Whether the operator has an app whose name looks like this one. */
  looksTaken(name: string): Promise<boolean>;
}

type Features = NonNullable<Configuration['features']>;

/** oidc-provider's features of registration, by the setting REGISTRATION: `off`, `token` or `open`. */
export function registrationFeatures({
  REGISTRATION,
}: Pick<Config, 'REGISTRATION'>): Pick<Features, 'registration' | 'registrationManagement'> {
  const enabled = REGISTRATION !== 'off';
  return {
    registration: {
      enabled,
      initialAccessToken: REGISTRATION === 'token',
      ...(REGISTRATION === 'token' ? { policies: { [noPkcePolicy]: () => {} } } : {}),
      issueRegistrationAccessToken: true,
      idFactory: () => randomId(),
      secretFactory: () => randomId(32),
    },
    registrationManagement: { enabled, rotateRegistrationAccessToken: true },
  };
}

const mostBytes = 16 * 1024;
const mostAddresses = 20;
const longestText = 2048;

/** Metadata that only an operator may set. It is removed from a registration. */
const operatorsOwn = ['first_party', 'require_pkce', 'claims'];

/** The policy of an initial access token with which the operator lets confidential clients omit PKCE. */
export const noPkcePolicy = 'no_pkce';

/** Whether the client registers, or has registered, with such a token. */
export function mayOmitPkce({ oidc }: KoaContextWithOIDC): boolean {
  const { InitialAccessToken, RegistrationAccessToken, Client } = oidc.entities as Entities;
  // The library copies the policy into the registration access token, and could not read it there once REGISTRATION
  // is `open`. So it is removed, and the client's own metadata records the decision.
  if (RegistrationAccessToken) delete RegistrationAccessToken.policies;
  return InitialAccessToken?.policies?.includes(noPkcePolicy) ?? Client?.require_pkce === false;
}

interface Entities {
  InitialAccessToken?: { policies?: string[] };
  RegistrationAccessToken?: { policies?: string[] };
  Client?: { require_pkce?: boolean };
}

/** Removes empty values. Some clients send every field that they know, also those without a value. */
export const withoutEmpty = (metadata: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== '' && value !== null));

/** Limits of self-registered clients. `ownNames`: names of this site, which a client's name must not look like. */
export interface StrangersLimits {
  withoutPkce: boolean;
  resources: readonly Resource[];
  ownNames: readonly string[];
}

/**
 * Checks the metadata of a self-registered client, and sets or removes what only the operator decides. Throws
 * InvalidClientMetadata.
 */
export function checkStranger(
  metadata: Record<string, unknown>,
  { withoutPkce, resources, ownNames }: StrangersLimits,
): void {
  for (const name of operatorsOwn) delete metadata[name];
  metadata.require_pkce = !withoutPkce;
  if (JSON.stringify(metadata).length > mostBytes)
    throw new errors.InvalidClientMetadata('metadata is too large');
  for (const [name, value] of Object.entries(metadata)) {
    const values = Array.isArray(value) ? value : [value];
    if (values.length > mostAddresses) throw new errors.InvalidClientMetadata(`${name} has too many values`);
    if (values.some((each) => typeof each === 'string' && each.length > longestText))
      throw new errors.InvalidClientMetadata(`${name} is too long`);
  }
  const parsed = clientSchema.safeParse(metadata);
  const [issue] = parsed.error?.issues ?? [];
  if (issue) throw new errors.InvalidClientMetadata(`${issue.path.join('.')} ${issue.message}`);
  const misleading = parsed.data?.client_name && nameFault(parsed.data.client_name, ownNames);
  if (misleading) throw new errors.InvalidClientMetadata(`client_name ${misleading}`);
  const { grant_types: grants, scope = '' } = metadata;
  const known = new Set(resources.flatMap(({ scopes }) => scopes));
  const unknown = String(scope)
    .split(' ')
    .filter((each) => each && !isIdentityScope(each) && !known.has(each));
  if (unknown.length > 0)
    throw new errors.InvalidClientMetadata(`scope names what is not known here: ${unknown.join(' ')}`);
  if (Array.isArray(grants) && !mayBeStrangers(grants))
    throw new errors.InvalidClientMetadata('grant_types must be ones by which a person is asked');
}

/** Shows a client's secret only in the answer that creates it. Later answers leave it out, because we keep a hash. */
export const tellSecretOnce: Middleware = (ctx, next) =>
  pathOf(ctx).startsWith('/reg') ? next().then(() => keepUnknownSecret(ctx)) : next();

function keepUnknownSecret(ctx: Context): void {
  const body = ctx.body as { client_secret?: unknown } | undefined;
  if (typeof body !== 'object' || body === null || !isUnknownSecret(body.client_secret)) return;
  const { client_secret: _, client_secret_expires_at: __, ...rest } = body as Record<string, unknown>;
  ctx.body = rest;
}

/**
 * The schema of the settings, and the schema of the entries of RESOURCES_FILE. Each message says what would be right.
 * Pure: it does not read the environment or files.
 */
import { X509Certificate } from 'node:crypto';
import ipaddr from 'ipaddr.js';
// Imported as a namespace, here and elsewhere. With `{ z }` the build would keep all of zod with its fifty languages.
import * as z from 'zod';
import { databaseUrlFault } from '../lib/database_url.ts';
import { lifeSeconds } from '../lifetimes.ts';
import { detailTypesSchema } from './authorization_details.ts';
import { isSecureUrl } from './client_schema.ts';
import { redisSettings } from './redis.ts';

const wholeNumber = (least: number, most: number, what: string) =>
  z.coerce.number({ error: what }).int(what).min(least, what).max(most, what);

const cidr = z.string().refine((value) => ipaddr.isValid(value) || ipaddr.isValidCIDR(value), {
  error: 'must be addresses or CIDRs with commas between, such as 10.0.0.0/8,127.0.0.1',
});

const addresses = z
  .string()
  .default('')
  .transform((value) =>
    value
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean),
  )
  .pipe(z.array(cidr));

const retentionDays = 'must be days, from 30 on, or 0 to keep everything';

const keyEncryptionKey = z
  .string()
  .transform((value) => Buffer.from(value.trim(), 'base64url'))
  .refine(
    (bytes) => bytes.length === 32,
    'must be 32 random bytes as base64url: openssl rand -base64 32 | tr +/ -_ | tr -d =',
  );

/** The settings by the names of their environment variables. */
export const settingsSchema = z.object({
  PORT: wholeNumber(1, 65535, 'must be a port, 1 to 65535').default(3000),
  HOST: z.string().min(1).default('127.0.0.1'),
  /** After SIGTERM, how long requests are still served while readiness answers 503. */
  DRAIN_SECONDS: wholeNumber(0, 300, 'must be seconds, 0 to 300').default(0),
  /** The port of /metrics. Without it there are no metrics. */
  METRICS_PORT: wholeNumber(1, 65535, 'must be a port, 1 to 65535').optional(),
  /** Separate from HOST, because the public must not reach what Prometheus may reach. */
  METRICS_HOST: z.string().min(1).default('127.0.0.1'),
  ISSUER: z
    .string()
    .refine(
      (value) => isSecureUrl(value) && value === URL.parse(value)?.origin,
      'must be an origin such as https://id.example.com (http only for localhost), without a path or a slash at the end',
    )
    .optional(),
  DATABASE_URL: z
    .string()
    .superRefine((value, context) => {
      const fault = databaseUrlFault(value);
      if (fault) context.addIssue(fault);
    })
    .optional(),
  /** How many connections one instance holds for its requests. */
  DATABASE_POOL_SIZE: wholeNumber(2, 1000, 'must be a number of connections, 2 to 1000').default(10),
  ...redisSettings,
  DATA_DIR: z.string().min(1).default('.data'),
  CLIENTS_FILE: z.string().min(1).default('config/clients.json'),
  RESOURCES_FILE: z.string().min(1).default('config/resources.json'),
  /** Whether both are read again as soon as they change. */
  WATCH_FILES: z.enum(['off', 'on'], { error: 'must be off or on' }).default('off'),
  /** Forward-auth is off without it. */
  FORWARD_AUTH_FILE: z.string().min(1).optional(),
  /** Which apps may register themselves: none, those with an initial access token, or all. */
  REGISTRATION: z.enum(['off', 'token', 'open'], { error: 'must be off, token or open' }).default('off'),
  /** Whether an app's client id may be the https address of its metadata. */
  CLIENT_ID_METADATA_DOCUMENTS: z.enum(['off', 'on'], { error: 'must be off or on' }).default('off'),
  /** Whether everybody can create an account, or only with an invitation. */
  SIGN_UP: z.enum(['open', 'invitation'], { error: 'must be open or invitation' }).default('open'),
  TRUSTED_PROXIES: addresses,
  /** Networks whose rate limits by address are twenty times as high. */
  TRUSTED_NETWORKS: addresses,
  /** The header in which a trusted proxy passes the client's certificate. Mutual TLS is off without it. */
  CLIENT_CERTIFICATE_HEADER: z
    .string()
    .regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header')
    .transform((name) => name.toLowerCase())
    .optional(),
  /** The PEM certificates of the CAs that issue certificates of clients. */
  CLIENT_CA: z.string().transform(parseCertificates).optional(),
  /** Whether an app may ask a person to approve a sign-in on another device (OpenID CIBA). */
  CIBA: z.enum(['on', 'off'], { error: 'must be on or off' }).default('off'),
  LIMIT_ADDRESS_PER_MINUTE: wholeNumber(1, 1_000_000, 'must be a whole number from 1 on').default(600),
  LIMIT_ACCOUNT_FAILURES: wholeNumber(1, 1000, 'must be a whole number from 1 to 1000').default(5),
  /** How long the audit log keeps events. The database refuses to delete events that are younger than 30 days. */
  AUDIT_RETENTION_DAYS: z.coerce
    .number({ error: retentionDays })
    .int(retentionDays)
    .max(36_500, retentionDays)
    .refine((days) => days === 0 || days >= 30, retentionDays)
    .default(400),
  SESSION_IDLE_SECONDS: wholeNumber(60, 2_592_000, 'must be seconds, 60 to 2592000').default(3600),
  SESSION_LIFETIME_SECONDS: wholeNumber(60, 2_592_000, 'must be seconds, 60 to 2592000').default(43_200),
  REFRESH_LEEWAY_SECONDS: wholeNumber(0, 60, 'must be seconds, 0 (off) to 60').default(10),
  /** How much of its history the database may lose in a failover. If more is missing, a backup was restored. */
  FAILOVER_LOSS_SECONDS: wholeNumber(0, 86_400, 'must be seconds, 0 to 86400').default(60),
  KEY_ROTATION_DAYS: wholeNumber(0, 3650, 'must be days, 0 (only by command) to 3650').default(90),
  KEY_PUBLISHED_AHEAD_SECONDS: wholeNumber(60, 604_800, 'must be seconds, 60 to 604800').default(3600),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      error: 'must be trace, debug, info, warn, error, fatal or silent',
    })
    .default('info'),
  KEY_ENCRYPTION_KEY: keyEncryptionKey.optional(),
  KEY_ENCRYPTION_KEY_PREVIOUS: keyEncryptionKey.optional(),
});

function parseCertificates(text: string, context: z.RefinementCtx): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    const certificates = blocks.map((block) => new X509Certificate(block));
    if (certificates.length > 0 && certificates.every(({ ca }) => ca)) return certificates;
  } catch {}
  context.addIssue('must be the certificates of CAs, in PEM');
  return z.NEVER;
}

export type Settings = z.infer<typeof settingsSchema>;

/** One entry of RESOURCES_FILE: an API that accepts access tokens of its own (RFC 8707). */
export const resourceSchema = z.strictObject({
  audience: z.url('must be an absolute URL: what apps send as `resource`'),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]+$/, 'must be scope tokens (RFC 6749, section 3.3)'))
    .default([]),
  token_format: z
    .enum(['v4.local', 'v4.public', 'jwt'], { error: 'must be v4.local, v4.public or jwt' })
    .default('v4.public'),
  token_seconds: wholeNumber(
    60,
    lifeSeconds.accessToken,
    `must be seconds, 60 to ${lifeSeconds.accessToken}`,
  ).default(lifeSeconds.resourceToken),
  /** The client id with which the API introspects its tokens. */
  client_id: z.string().min(1).optional(),
  /** What apps may request in `authorization_details` (RFC 9396). */
  authorization_details_types: detailTypesSchema,
});

export type Resource = z.infer<typeof resourceSchema>;

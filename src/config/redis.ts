/** The settings of Redis: REDIS_URL in its three forms, and the certificates beside it. Pure. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as z from 'zod';
import type { RedisHost, RedisTarget, RedisUser } from '../lib/redis_target.ts';

const forms =
  'must be redis://host:port, redis+sentinel://host,host/name or redis+cluster://host,host; with TLS rediss://, rediss+sentinel:// or rediss+cluster://';

const urlForm =
  /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>.*)@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#]*))?(?:\?(?<query>[^#]*))?$/;
const hostForm = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<name>[\w.-]+))(?::(?<port>\d{1,5}))?$/;

const ports = { single: 6379, sentinel: 26_379, cluster: 6379 };

const redisUrl = z.string().transform((value, context): RedisTarget => {
  try {
    return parseRedisUrl(value);
  } catch (error) {
    // What is wrong, never the URL itself: it may hold a password.
    context.addIssue(error instanceof URIError ? forms : (error as Error).message);
    return z.NEVER;
  }
});

/** Throws an Error whose message completes the sentence "REDIS_URL …". */
function parseRedisUrl(value: string): RedisTarget {
  const parts = urlForm.exec(value)?.groups;
  if (!parts) throw new Error(forms);
  const kind = (parts.kind ?? 'single') as RedisTarget['kind'];
  const hosts = (parts.hosts ?? '').split(',').map((host) => parseHost(host, ports[kind]));
  if (kind === 'single' && hosts.length > 1)
    throw new Error('has several hosts: use redis+sentinel:// or redis+cluster://');
  const path = decodeURIComponent(parts.path ?? '');
  if (kind === 'sentinel' && !/^[^/]+$/.test(path))
    throw new Error('needs the name of the primary after the sentinels: redis+sentinel://host,host/name');
  if (kind === 'single' && !/^\d{0,5}$/.test(path))
    throw new Error('may have nothing but the number of a database after the host: redis://host:port/0');
  if (kind === 'cluster' && path !== '')
    throw new Error('may have nothing after the hosts: a cluster has only one database');
  return {
    kind,
    hosts,
    name: kind === 'sentinel' ? path : '',
    database: kind === 'single' ? Number(path) : 0,
    user: parseUser(parts.user),
    sentinelUser: parseQuery(parts.query, kind),
    tls: parts.tls === 's' ? {} : undefined,
  };
}

function parseHost(text: string, usualPort: number): RedisHost {
  const parts = hostForm.exec(text)?.groups;
  const port = Number(parts?.port ?? usualPort);
  if (!parts || port < 1 || port > 65_535) throw new Error(forms);
  return { host: String(parts.v6 ?? parts.name), port };
}

function parseUser(text: string | undefined): RedisUser {
  if (!text) return {};
  const colon = text.indexOf(':');
  const username = colon === -1 ? text : text.slice(0, colon);
  const password = colon === -1 ? '' : text.slice(colon + 1);
  return {
    ...(username && { username: decodeURIComponent(username) }),
    password: decodeURIComponent(password),
  };
}

const sentinelParameters = ['sentinel_username', 'sentinel_password'];

function parseQuery(text: string | undefined, kind: RedisTarget['kind']): RedisUser {
  // Not URLSearchParams, which makes a space of the "+" in a password.
  const given = new Map(
    (text ?? '')
      .split('&')
      .filter(Boolean)
      .map((pair): [string, string] => {
        const [name = '', ...rest] = pair.split('=');
        return [name, decodeURIComponent(rest.join('='))];
      }),
  );
  const known = kind === 'sentinel' ? sentinelParameters : [];
  for (const name of given.keys()) {
    if (known.includes(name)) continue;
    throw new Error(
      kind === 'sentinel'
        ? `may have only ${known.join(' and ')} after "?"`
        : 'may have nothing after "?": certificates are settings of their own',
    );
  }
  const [username, password] = sentinelParameters.map((name) => given.get(name));
  return { username, password };
}

const certificates = z.string().refine((text) => {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.length > 0 && blocks.every((block) => attempt(() => new X509Certificate(block)));
}, 'must be certificates in PEM');

const privateKey = z
  .string()
  .refine(
    (text) => attempt(() => createPrivateKey(text)),
    'must be a private key in PEM, without a passphrase',
  );

/** The value, or undefined where `make` throws. */
function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** The settings of Redis by their names. */
export const redisSettings = {
  REDIS_URL: redisUrl.optional(),
  /** The CA that issued the certificate of Redis, if Node.js does not know it. */
  REDIS_CA: certificates.optional(),
  /** The certificate that this server shows to Redis, and its private key. */
  REDIS_CERTIFICATE: certificates.optional(),
  REDIS_KEY: privateKey.optional(),
};

type RedisSettings = z.infer<z.ZodObject<typeof redisSettings>>;

/** What is wrong with the settings together, one sentence each. */
export function redisFaults({ REDIS_URL, REDIS_CA, REDIS_CERTIFICATE, REDIS_KEY }: RedisSettings): string[] {
  const faults: string[] = [];
  if ((REDIS_CA || REDIS_CERTIFICATE || REDIS_KEY) && !REDIS_URL?.tls)
    faults.push('REDIS_CA, REDIS_CERTIFICATE and REDIS_KEY need a REDIS_URL with TLS, such as rediss://');
  if (Boolean(REDIS_CERTIFICATE) !== Boolean(REDIS_KEY))
    faults.push('REDIS_CERTIFICATE and REDIS_KEY must be set together');
  if (
    REDIS_CERTIFICATE &&
    REDIS_KEY &&
    !new X509Certificate(REDIS_CERTIFICATE).checkPrivateKey(createPrivateKey(REDIS_KEY))
  )
    faults.push('REDIS_KEY is not the key of the first certificate in REDIS_CERTIFICATE');
  return faults;
}

/** The Redis of the settings, with its certificates. Undefined if none is configured. */
export function redisTarget(settings: RedisSettings): RedisTarget | undefined {
  const { REDIS_URL: target, REDIS_CA: ca, REDIS_CERTIFICATE: cert, REDIS_KEY: key } = settings;
  return target && { ...target, tls: target.tls && { ca, cert, key } };
}

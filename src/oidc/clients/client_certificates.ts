/**
 * Client certificates (RFC 8705) behind a TLS proxy: which certificate a request has, whether a configured CA issued
 * it, and which client it names. The proxy passes the certificate on in a header. That header is removed from
 * requests that do not come from a trusted proxy, before this code sees them. All of this is off unless the header's
 * name is configured.
 */
import { X509Certificate } from 'node:crypto';
import type { Context } from 'koa';
import type { Configuration } from 'oidc-provider';
import type { Config } from '../../config/load.ts';

type MutualTls = NonNullable<NonNullable<Configuration['features']>['mTLS']>;

const clientAuthentication = '1.3.6.1.5.5.7.3.2';
const longest = 16 * 1024;
const structured = /^:([A-Za-z0-9+/=]+):$/;
const onePem = /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/;

/**
 * oidc-provider's configuration of mutual TLS. `tls_client_auth` is offered only if CAs are configured. `now`:
 * milliseconds since the epoch.
 */
export function mutualTls(
  config: Pick<Config, 'CLIENT_CERTIFICATE_HEADER' | 'CLIENT_CA'>,
  now: () => number,
): MutualTls {
  const { CLIENT_CERTIFICATE_HEADER: header, CLIENT_CA: authorities = [] } = config;
  if (header === undefined) return { enabled: false };
  const certificateOf = certificateReader(config);
  return {
    enabled: true,
    certificateBoundAccessTokens: true,
    selfSignedTlsClientAuth: true,
    tlsClientAuth: authorities.length > 0,
    getCertificate: (ctx) => certificateOf(ctx),
    certificateAuthorized(ctx) {
      const certificate = certificateOf(ctx);
      return certificate !== undefined && isIssuedBy(certificate, authorities, now());
    },
    certificateSubjectMatches(ctx, property, expected) {
      const certificate = certificateOf(ctx);
      return certificate !== undefined && names(certificate, property, expected);
    },
  };
}

/** Makes a function that reads the certificate of a request. Undefined if there is none, or no valid one. */
export function certificateReader({
  CLIENT_CERTIFICATE_HEADER: header,
}: Pick<Config, 'CLIENT_CERTIFICATE_HEADER'>) {
  return (ctx: Context): X509Certificate | undefined =>
    header === undefined ? undefined : parseCertificate(ctx.get(header));
}

/**
 * Parses a header's certificate: `:base64 DER:` (RFC 9440), or percent-encoded PEM as in nginx's
 * $ssl_client_escaped_cert. Returns undefined if it is not exactly one certificate. With several, we could not know
 * which one the proxy verified.
 */
export function parseCertificate(value: string): X509Certificate | undefined {
  if (value === '' || value.length > longest) return undefined;
  try {
    const encoded = (structured.exec(value) ?? onePem.exec(decodeURIComponent(value)))?.[1];
    if (encoded === undefined) return undefined;
    const bytes = Buffer.from(encoded, 'base64');
    const certificate = new X509Certificate(bytes);
    // Node reads only the first certificate and ignores bytes after it. So compare the lengths.
    return certificate.raw.length === bytes.length ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether one of `authorities` issued the certificate directly, and it is valid now and for clients. Revocation lists
 * are not checked.
 */
function isIssuedBy(certificate: X509Certificate, authorities: X509Certificate[], now: number): boolean {
  const { keyUsage } = certificate as { keyUsage?: string[] };
  if (!(certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime())) return false;
  if (keyUsage && !keyUsage.includes(clientAuthentication)) return false;
  return authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
}

/** Whether the certificate has the `expected` name. `property` says which of its names (RFC 8705, section 2.1.2). */
function names(certificate: X509Certificate, property: string, expected: string): boolean {
  switch (property) {
    case 'tls_client_auth_subject_dn':
      return isSubject(certificate, expected);
    case 'tls_client_auth_san_dns':
      return certificate.checkHost(expected, { subject: 'never', wildcards: false }) !== undefined;
    case 'tls_client_auth_san_email':
      return certificate.checkEmail(expected, { subject: 'never' }) !== undefined;
    case 'tls_client_auth_san_ip':
      return certificate.checkIP(expected) !== undefined;
    case 'tls_client_auth_san_uri':
      return uriNames(certificate).includes(expected);
    default:
      return false;
  }
}

/** Compares attributes in the order of RFC 4514, the last one first. A multi-valued RDN never matches. */
function isSubject({ subject }: X509Certificate, expected: string): boolean {
  const actual = (subject ?? '').split('\n').reverse();
  const wanted = expected.split(/(?<!\\),/).map((part) => part.trim());
  return actual.length === wanted.length && actual.every((part, index) => part === wanted[index]);
}

/** Node quotes a name that could be read as several names (CVE-2021-44532). Such a name is ignored. */
const uriNames = ({ subjectAltName }: X509Certificate): string[] =>
  (subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('URI:') && !name.includes('"') ? [name.slice(4)] : []));

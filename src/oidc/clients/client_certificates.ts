/**
 * Clients' certificates (RFC 8705) behind a TLS proxy: which one came with a request, whether a CA of ours issued it, and
 * whom it names. The proxy passes the certificate on in a header; http/request.ts has taken that header from everybody
 * who is not a trusted proxy. Nothing here is done unless the header's name is configured.
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

/** oidc-provider's configuration of mutual TLS. Certificates of a CA are taken only where there are CAs. */
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

/** Reads the certificate that the proxy passes on; undefined where there is none. */
export function certificateReader({
  CLIENT_CERTIFICATE_HEADER: header,
}: Pick<Config, 'CLIENT_CERTIFICATE_HEADER'>) {
  return (ctx: Context): X509Certificate | undefined =>
    header === undefined ? undefined : parseCertificate(ctx.get(header));
}

/**
 * A header's certificate: `:base64 DER:` (RFC 9440), or PEM percent-encoded as nginx's $ssl_client_escaped_cert. Of several
 * nobody can say which one the proxy has checked: undefined, as for what is none.
 */
export function parseCertificate(value: string): X509Certificate | undefined {
  if (value === '' || value.length > longest) return undefined;
  try {
    const encoded = (structured.exec(value) ?? onePem.exec(decodeURIComponent(value)))?.[1];
    if (encoded === undefined) return undefined;
    const bytes = Buffer.from(encoded, 'base64');
    const certificate = new X509Certificate(bytes);
    // Node reads the first certificate and leaves the rest.
    return certificate.raw.length === bytes.length ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/** Issued by one of `authorities` itself, good now, and for clients. There is no look at revocation lists. */
function isIssuedBy(certificate: X509Certificate, authorities: X509Certificate[], now: number): boolean {
  const { keyUsage } = certificate as { keyUsage?: string[] };
  if (!(certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime())) return false;
  if (keyUsage && !keyUsage.includes(clientAuthentication)) return false;
  return authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
}

/** Whether the certificate is the one of RFC 8705, section 2.1.2: `property` says which of its names is `expected`. */
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

/** By attributes in RFC 4514's order, the last one first; of a name with several values at one place none matches. */
function isSubject({ subject }: X509Certificate, expected: string): boolean {
  const actual = (subject ?? '').split('\n').reverse();
  const wanted = expected.split(/(?<!\\),/).map((part) => part.trim());
  return actual.length === wanted.length && actual.every((part, index) => part === wanted[index]);
}

/** Node quotes a name that could be read as several (CVE-2021-44532), and such a one is nobody's. */
const uriNames = ({ subjectAltName }: X509Certificate): string[] =>
  (subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('URI:') && !name.includes('"') ? [name.slice(4)] : []));

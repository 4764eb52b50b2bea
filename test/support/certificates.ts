/** Certificates for clients, made by openssl: a CA, what it issues, and self-signed ones. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  pem: string;
  key: string;
  /** As nginx passes it on: $ssl_client_escaped_cert. */
  escaped: string;
  /** As RFC 9440 passes it on. */
  structured: string;
}

export interface Certificates {
  authority: Certificate;
  /** Issued by the authority; `extensions` in openssl's words. */
  issue(subject: string, ...extensions: string[]): Promise<Certificate>;
  selfSigned(subject: string): Promise<Certificate>;
  close(): Promise<void>;
}

const run = promisify(execFile);

export async function createCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'cypher-certificates-'));
  const at = (name: string) => join(dir, name);
  let made = 0;
  async function make(
    subject: string,
    extensions: string[],
    issuer: string | undefined,
  ): Promise<Certificate> {
    const name = String(made++);
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', subject, '-keyout', at(`${name}.key`), '-out', at(name)],
      ...(issuer === undefined ? [] : ['-CA', at(issuer), '-CAkey', at(`${issuer}.key`)]),
      ...extensions.flatMap((extension) => ['-addext', extension]),
    ]);
    const pem = await readFile(at(name), 'utf8');
    const key = await readFile(at(`${name}.key`), 'utf8');
    const der = pem.replace(/-----[^-]+-----|\s/g, '');
    return { pem, key, escaped: encodeURIComponent(pem), structured: `:${der}:` };
  }
  const leaf = 'basicConstraints=critical,CA:FALSE';
  return {
    authority: await make('/CN=Our CA', [], undefined),
    issue: (subject, ...extensions) => make(subject, [leaf, ...extensions], '0'),
    selfSigned: (subject) => make(subject, [], undefined),
    close: () => rm(dir, { recursive: true }),
  };
}

/** An app's address that the provider posts to. It keeps what it received, and answers as the test says. */
import { execFileSync } from 'node:child_process';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Receiver {
  url: string;
  received: Received[];
  /** What is answered from now on: a status, with a Location where one is given, or nothing ever. */
  answers(answer: { status: number; location?: string } | 'nothing'): void;
  close(): Promise<void>;
}

/** `tls`: on https, with a certificate that this process trusts from then on. */
export async function startReceiver({ tls = false } = {}): Promise<Receiver> {
  const received: Received[] = [];
  let answer: { status: number; location?: string } | 'nothing' = { status: 204 };
  const receive: RequestListener = async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    received.push({ path: req.url ?? '', headers: req.headers, body: Buffer.concat(chunks).toString() });
    if (answer === 'nothing') return;
    res.writeHead(answer.status, answer.location ? { location: answer.location } : {}).end('an answer');
  };
  const server = tls ? createTlsServer(trustedPair(), receive) : createServer(receive);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `${tls ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}`,
    received,
    answers(next) {
      answer = next;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function trustedPair(): { key: string; cert: string } {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const args = ['req', '-x509', ...curve, ...name, '-keyout', '-', '-out', '-'];
  const pem = execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const cert = pem.slice(pem.indexOf('-----BEGIN CERTIFICATE-----'));
  setDefaultCACertificates([...getCACertificates('default'), cert]);
  return { key: pem, cert };
}

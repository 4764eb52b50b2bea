/** What an app publishes by https: its keys, its requests, the addresses of its sector. Its certificate is trusted here. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createCertificates } from '../support/certificates.ts';

export interface Published {
  url: string;
  /** What is answered, by path: JSON, or text as it is. */
  pages: Map<string, object | string>;
  close(): Promise<void>;
}

export async function startPublished(): Promise<Published> {
  const certificates = await createCertificates();
  const { pem: cert, key } = await certificates.issue('/CN=localhost', 'subjectAltName=DNS:localhost');
  setDefaultCACertificates([...getCACertificates(), certificates.authority.pem]);
  await certificates.close();
  const pages: Published['pages'] = new Map();
  const server = createServer({ cert, key }, (request, response) => {
    const page = pages.get(request.url ?? '');
    const type = typeof page === 'string' ? 'application/jwt' : 'application/json';
    response.writeHead(page === undefined ? 404 : 200, { 'content-type': type });
    response.end(typeof page === 'string' ? page : JSON.stringify(page));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    pages,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

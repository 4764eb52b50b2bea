/** A load balancer without sticky sessions: each request goes to the next of several servers. */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Balancer {
  url: string;
  /** Sets where requests go: the addresses of the servers. */
  to(...urls: string[]): void;
  close(): Promise<void>;
}

export async function startBalancer(): Promise<Balancer> {
  let targets: string[] = [];
  let turn = 0;
  const server: Server = createServer((incoming, answer) => {
    const target = targets[turn++ % targets.length] ?? '';
    const passed = request(new URL(incoming.url ?? '/', target), {
      method: incoming.method,
      headers: incoming.headers,
    });
    passed.on('response', (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    incoming.pipe(passed);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    to(...urls) {
      targets = urls;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

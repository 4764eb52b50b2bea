/** A load balancer that sends every request to another instance than the one before. */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Alternating {
  url: string;
  port: number;
  /** The ports of the instances. The next request goes to the first of them. */
  between(ports: readonly number[]): void;
  close(): Promise<void>;
}

export async function startAlternating(): Promise<Alternating> {
  let targets: readonly number[] = [];
  let requests = 0;
  const server = createServer((req, res) => {
    const { method, url: path, headers } = req;
    const port = targets[requests++ % targets.length];
    const onward = request({ host: 'localhost', port, method, path, headers, agent: false }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(res);
    });
    onward.once('error', () => res.destroy());
    req.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}`,
    port,
    between(ports) {
      targets = ports;
      requests = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Starts the provider and the demo's apps in this process, each on a port of its own. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDemoApps } from '../../src/demo/apps.ts';
import { demoClients } from '../../src/demo/clients.ts';
import { startServer, type TestServer } from './server.ts';

export interface Demo {
  server: TestServer;
  /** Where the apps answer. */
  app: string;
  api: string;
  intranet: string;
  /** While it is set, the intranet does not answer what it is told of sign-outs. */
  unreachable: boolean;
  close(): Promise<void>;
}

export async function startDemo(): Promise<Demo> {
  const servers = { app: await listen(), api: await listen(), intranet: await listen() };
  const urls = { app: urlOf(servers.app), api: urlOf(servers.api), intranet: urlOf(servers.intranet) };
  const clients = demoClients(urls);
  const { resources, ...entries } = clients;
  const server = await startServer({
    clients: Object.values(entries),
    resources: resources.map((resource) => ({ token_seconds: 600, ...resource })),
  });
  const apps = await createDemoApps(server.url, urls, clients, server.clock.now);
  for (const name of ['app', 'api'] as const) servers[name].on('request', apps[name]);
  servers.intranet.on('request', (req, res) => {
    if (!demo.unreachable || req.url !== '/backchannel-logout') void apps.intranet(req, res);
  });
  const demo: Demo = {
    server,
    ...urls,
    unreachable: false,
    async close() {
      for (const each of Object.values(servers)) {
        each.closeAllConnections();
        await new Promise((resolve) => each.close(resolve));
      }
      await server.close();
    },
  };
  return demo;
}

const urlOf = (server: Server) => `http://localhost:${(server.address() as AddressInfo).port}`;

async function listen(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

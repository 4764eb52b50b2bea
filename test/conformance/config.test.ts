/** OpenID's plan for the provider's configuration: what discovery says, and that it is so. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { expectMetadata } from './metadata.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [apps.web], issuer: 'https://id.example.com' });
});
afterAll(() => server.close());

test('oidcc-discovery-endpoint-verification', async () => {
  const metadata = await expectMetadata(server, 'https://id.example.com');
  expect(metadata.response_types_supported).toContain('code');
  expect(metadata.grant_types_supported).toContain('authorization_code');
  // Where nobody may register, nothing is said of it.
  expect(metadata).not.toHaveProperty('registration_endpoint');
  expect((await request(server.url).post('/reg').send({})).status).toBe(404);
});

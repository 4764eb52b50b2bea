/**
 * Debian's Apache with mod_auth_openidc in front of a page. Skipped where it is not installed:
 * apt-get install --no-install-recommends apache2 libapache2-mod-auth-openidc
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { throughProvider, throughSignOut } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';

const modules = '/usr/lib/apache2/modules';
const apache = '/usr/sbin/apache2';
const isInstalled = existsSync(apache) && existsSync(`${modules}/mod_auth_openidc.so`);

const configuration = (issuer: string, port: number, directory: string) => `
ServerRoot ${directory}
ServerName localhost
Listen 127.0.0.1:${port}
PidFile ${directory}/pid
ErrorLog ${directory}/error.log
DefaultRuntimeDir ${directory}
Mutex posixsem
${['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'dir', 'headers', 'auth_openidc']
  .map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`)
  .join('\n')}
${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
StartServers 1
ThreadsPerChild 4
MaxRequestWorkers 4
DocumentRoot ${directory}
OIDCProviderMetadataURL ${issuer}/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret ${apps.web.client_secret}
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCRedirectURI http://localhost:${port}/callback
OIDCCryptoPassphrase a-passphrase-of-the-site
OIDCPKCEMethod S256
OIDCScope "openid profile"
OIDCPassRefreshToken On
<Location />
  AuthType openid-connect
  Require valid-user
  Header always set X-Person "%{OIDC_CLAIM_preferred_username}e"
  Header always set X-Access-Token "%{OIDC_access_token}e"
</Location>
`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

describe.skipIf(!isInstalled)(
  'mod_auth_openidc (needs Debian’s apache2 and libapache2-mod-auth-openidc)',
  () => {
    let server: TestServer;
    let httpd: ChildProcess;
    let directory: string;
    let url: string;
    beforeAll(async () => {
      const port = await freePort();
      url = `http://localhost:${port}`;
      const client = {
        ...apps.web,
        client_id: 'apache',
        client_name: 'A site behind Apache',
        redirect_uris: [`${url}/callback`],
        post_logout_redirect_uris: [`${url}/`],
      };
      server = await startServer({ clients: [client] });
      directory = await mkdtemp(join(tmpdir(), 'cypher-apache-'));
      await chmod(directory, 0o777);
      await writeFile(join(directory, 'httpd.conf'), configuration(server.url, port, directory));
      await writeFile(join(directory, 'index.html'), 'a page');
      const page = () => request(url).get('/').accept('text/html');
      httpd = spawn(apache, ['-X', '-f', join(directory, 'httpd.conf')], { stdio: 'inherit' });
      await vi.waitFor(async () => expect((await page()).status).toBe(302), 20_000);
    });
    afterAll(async () => {
      const ended = once(httpd, 'exit');
      httpd.kill('SIGTERM');
      await ended;
      await server.close();
      await rm(directory, { recursive: true });
    });

    test('a whole sign-in: code with PKCE, userinfo, refresh, sign-out', async () => {
      const ada = createPerson(server, 'ada');
      // It sends nobody on who does not take pages.
      const browser = request.agent(url).accept('text/html');
      const { headers } = await browser.get('/');
      const begin = new URL(String(headers.location));
      expect(begin.searchParams.get('code_challenge_method')).toBe('S256');
      const back = await throughProvider(ada, begin);
      const done = await browser.get(back.pathname + back.search);
      expect([done.status, done.headers.location]).toEqual([302, `${url}/`]);
      const page = await browser.get('/');
      expect([page.status, page.text, page.headers['x-person']]).toEqual([200, 'a page', 'ada']);

      const before = page.headers['x-access-token'] ?? '';
      const query = { refresh: `${url}/`, access_token: before };
      const refreshed = await browser.get('/callback').query(query);
      expect(refreshed.headers.location).toBe(`${url}/`);
      const after = await browser.get('/');
      expect(after.headers['x-access-token']).toMatch(/^v4\.local\./);
      expect(after.headers['x-access-token']).not.toBe(before);

      const leaving = await browser.get('/callback').query({ logout: `${url}/` });
      const home = await throughSignOut(ada, new URL(String(leaving.headers.location)));
      expect(home.href).toBe(`${url}/`);
      expect((await browser.get('/')).status).toBe(302);
    });
  },
);

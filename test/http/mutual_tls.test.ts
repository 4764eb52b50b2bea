/** Mutual TLS (RFC 8705) behind a proxy: clients that are known by a certificate, and tokens that are bound to one. */
import { X509Certificate } from 'node:crypto';
import { exportJWK } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256 } from '../../src/lib/crypto.ts';
import { apps } from '../support/apps.ts';
import { type Certificate, type Certificates, createCertificates } from '../support/certificates.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { machine, spa } = apps;
const { client_secret: _, ...keyless } = machine;
const byCa = { ...keyless, token_endpoint_auth_method: 'tls_client_auth' };
const boundMachine = {
  ...machine,
  client_id: 'bound-machine',
  tls_client_certificate_bound_access_tokens: true,
};
const bound = { ...spa, client_id: 'bound', tls_client_certificate_bound_access_tokens: true };
let certificates: Certificates;
let issued: Certificate;
let own: Certificate;
let behind: TestServer;
let open: TestServer;
beforeAll(async () => {
  certificates = await createCertificates();
  issued = await certificates.issue(
    '/C=DE/O=Example/CN=robot',
    'subjectAltName=DNS:robot.example,URI:urn:robot:1,IP:192.0.2.7,email:robot@example.org',
  );
  own = await certificates.selfSigned('/CN=own');
  const { publicKey, raw } = new X509Certificate(own.pem);
  const jwk = { ...(await exportJWK(publicKey)), x5c: [raw.toString('base64')] };
  const clients = [
    ...Object.values(apps),
    bound,
    boundMachine,
    { ...byCa, client_id: 'by-dn', tls_client_auth_subject_dn: 'CN=robot,O=Example,C=DE' },
    { ...byCa, client_id: 'by-dns', tls_client_auth_san_dns: 'robot.example' },
    { ...byCa, client_id: 'by-uri', tls_client_auth_san_uri: 'urn:robot:1' },
    { ...byCa, client_id: 'by-ip', tls_client_auth_san_ip: '192.0.2.7' },
    { ...byCa, client_id: 'by-email', tls_client_auth_san_email: 'robot@example.org' },
    { ...byCa, client_id: 'someone-else', tls_client_auth_subject_dn: 'CN=someone,O=Example,C=DE' },
    {
      ...keyless,
      client_id: 'self',
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [jwk] },
    },
  ];
  const settings = { CLIENT_CERTIFICATE_HEADER: 'Client-Cert', CLIENT_CA: certificates.authority.pem };
  behind = await startServer({ clients, settings: { ...settings, TRUSTED_PROXIES: '127.0.0.1,::1' } });
  open = await startServer({
    clients,
    settings: { ...settings, TRUSTED_PROXIES: '192.0.2.1' },
    beside: behind,
  });
});
afterAll(async () => {
  await open.close();
  await behind.close();
  await certificates.close();
});

const token = (at: TestServer, client_id: string, certificate?: string) => {
  const post = request(at.url).post('/token').type('form');
  if (certificate) post.set('client-cert', certificate);
  return post.send({ grant_type: 'client_credentials', client_id });
};
const refused = [401, 'invalid_client'];
const outcome = ({ status, body }: request.Response) => [status, body.error];

test.each(['by-dn', 'by-dns', 'by-uri', 'by-ip', 'by-email'])(
  'tls_client_auth: the certificate of our CA that names the client: %s',
  async (client_id) => {
    expect((await token(behind, client_id, issued.escaped)).status).toBe(200);
    expect((await token(behind, client_id, issued.structured)).status).toBe(200);
    const other = await certificates.issue('/C=DE/O=Example/CN=robot2', 'subjectAltName=DNS:robot2.example');
    expect(outcome(await token(behind, client_id, other.escaped))).toEqual(refused);
    expect(outcome(await token(behind, client_id))).toEqual(refused);
  },
);

test('tls_client_auth: the same names from another CA, or in a server’s certificate, or rubbish → 401', async () => {
  const self = await certificates.selfSigned('/C=DE/O=Example/CN=robot');
  // By a CA that calls itself like ours, and says nothing of its key: the signature alone tells.
  const impostors = await createCertificates();
  const forged = await impostors.issue('/C=DE/O=Example/CN=robot', 'authorityKeyIdentifier=none');
  await impostors.close();
  const ours = new X509Certificate(certificates.authority.pem);
  expect(new X509Certificate(forged.pem).checkIssued(ours)).toBe(true);
  const serving = await certificates.issue('/C=DE/O=Example/CN=robot', 'extendedKeyUsage=serverAuth');
  for (const certificate of [
    self.escaped,
    forged.escaped,
    serving.escaped,
    'rubbish',
    '%E0%A4%A',
    ':AAAA:',
    'x'.repeat(15_000),
  ])
    expect.soft(outcome(await token(behind, 'by-dn', certificate))).toEqual(refused);
  expect(outcome(await token(behind, 'someone-else', issued.escaped))).toEqual(refused);
});

test('more than one certificate in the header is refused, whichever of them would do', async () => {
  const chain = (...parts: Certificate[]) => encodeURIComponent(parts.map(({ pem }) => pem).join(''));
  const der = ({ pem }: Certificate) => new X509Certificate(pem).raw;
  for (const header of [
    chain(issued, own),
    chain(own, issued),
    chain(issued, issued),
    `${issued.escaped}, ${own.escaped}`,
    `${issued.structured}, ${own.structured}`,
    `${issued.structured}${own.structured}`,
    `:${Buffer.concat([der(issued), der(own)]).toString('base64')}:`,
  ])
    for (const client_id of ['by-dn', 'self'])
      expect.soft(outcome(await token(behind, client_id, header))).toEqual(refused);
  const pair = request(behind.url).post('/token').type('form');
  pair.set('client-cert', [issued.escaped, own.escaped] as never);
  expect(outcome(await pair.send({ grant_type: 'client_credentials', client_id: 'by-dn' }))).toEqual(refused);
});

test('self_signed_tls_client_auth: the registered certificate and no other', async () => {
  expect((await token(behind, 'self', own.escaped)).status).toBe(200);
  const twin = await certificates.selfSigned('/CN=own');
  expect(outcome(await token(behind, 'self', twin.escaped))).toEqual(refused);
});

test('Client authentication: a certificate in the header is believed of a trusted proxy alone', async () => {
  for (const client_id of ['by-dn', 'self'])
    expect(outcome(await token(open, client_id, issued.escaped))).toEqual(refused);
});

test('bound tokens: worth nothing without the certificate, at userinfo, refresh and for the API that introspects', async () => {
  const ada = createPerson(behind, 'ada');
  // An app in front of which the proxy has seen this certificate.
  const set = (post: request.Test) => post.set('client-cert', own.escaped);
  await expect(ada.tokensFor(bound)).rejects.toThrow('invalid_grant');
  const code_verifier = 'v'.repeat(43);
  const code = await ada.codeFor(bound, {
    code_challenge: sha256(code_verifier),
    code_challenge_method: 'S256',
  });
  const form = { grant_type: 'authorization_code', code, redirect_uri: bound.redirect_uri, code_verifier };
  const { body, status } = await set(asApp(behind, bound, form));
  expect([status, body.token_type]).toEqual([200, 'Bearer']);
  const robot = await set(asApp(behind, boundMachine, { grant_type: 'client_credentials' }));
  const seen = await asApp(behind, boundMachine, { token: robot.body.access_token }, '/token/introspection');
  expect(seen.body.cnf).toEqual({ 'x5t#S256': sha256x(own) });
  const me = (certificate?: string) => {
    const get = request(behind.url).get('/me').auth(body.access_token, { type: 'bearer' });
    return certificate ? get.set('client-cert', certificate) : get;
  };
  expect((await me()).status).toBe(401);
  expect((await me(issued.escaped)).status).toBe(401);
  expect((await me(own.structured)).status).toBe(200);
  const refresh = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
  for (const certificate of [undefined, issued.escaped]) {
    const post = asApp(behind, bound, refresh);
    const answer = await (certificate ? post.set('client-cert', certificate) : post);
    expect(outcome(answer)).toEqual([400, 'invalid_grant']);
  }
  expect((await set(asApp(behind, bound, refresh))).status).toBe(200);
});

const sha256x = ({ pem }: Certificate) =>
  Buffer.from(new X509Certificate(pem).fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');

test('without the setting the header is nothing, and no client may register for certificates', async () => {
  const clients = [{ ...byCa, client_id: 'by-dn', tls_client_auth_subject_dn: 'CN=robot' }];
  await expect(startServer({ clients })).rejects.toThrow('token_endpoint_auth_method');
});

/** An issuer that is nothing but its published keys and an introspection endpoint: to be rotated, slowed and stopped. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createKeyset, type RawKey } from '../../src/tokens/keys.ts';
import { createTokens } from '../../src/tokens/tokens.ts';
import { bytesOf, rawKeys } from '../unit/tokens_support.ts';

export const AUDIENCE = 'https://api.example.com/reports';
const kinds = ['step', 'session', 'access', 'refresh'];

export async function startIssuer(startMs: number) {
  let nowMs = startMs;
  let answering = true;
  let cacheControl: string | undefined = 'public, max-age=300';
  let introspected: object = { active: false };
  let seeds = [1];
  const asked: string[] = [];
  const server = createServer((req, res) => {
    asked.push(String(req.url));
    if (answering) answer(req, res);
    else res.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://localhost:${(server.address() as AddressInfo).port}`;
  const now = () => nowMs;

  /** The codec with these keys of the kind `public`, the last of which signs. */
  function tokens() {
    const keys: RawKey[] = [
      ...rawKeys((kind) => 200 + kinds.indexOf(kind)).filter(({ kind }) => kind !== 'public'),
      ...seeds.map((seed, index): RawKey => {
        const state = index === seeds.length - 1 ? 'signing' : 'verifying';
        return { kind: 'public', bytes: bytesOf(seed), state };
      }),
    ];
    return createTokens({ issuer: url, keyset: createKeyset(keys), now });
  }

  function answer(req: IncomingMessage, res: ServerResponse): void {
    const json = (body: object, headers = {}) =>
      res.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    if (req.url === '/.well-known/paseto-keys') {
      const headers = cacheControl === undefined ? {} : { 'cache-control': cacheControl };
      json({ issuer: url, keys: tokens().publicKeys() }, headers);
    } else if (req.url === '/.well-known/openid-configuration') {
      json({ issuer: url, introspection_endpoint: `${url}/introspect` });
    } else json(introspected);
  }

  return {
    url,
    now,
    tokens,
    advance: (seconds: number) => {
      nowMs += seconds * 1000;
    },
    /** The seeds of the keys that are published from now on. */
    publish: (...next: number[]) => {
      seeds = next;
    },
    stop: () => {
      answering = false;
    },
    start: () => {
      answering = true;
    },
    cacheFor: (value: string | undefined) => {
      cacheControl = value;
    },
    introspects: (body: object) => {
      introspected = body;
    },
    /** How often this path was asked for. */
    asked: (path: string) => asked.filter((each) => each === path).length,
    /** A v4.public access token; good for ten minutes unless the claims or times say otherwise. */
    token(claims: object = {}, { seconds = 600, issuedAt = Math.floor(nowMs / 1000) } = {}) {
      const usual = {
        sub: 'ada',
        client_id: 'web',
        aud: AUDIENCE,
        scope: 'reports:read reports:list',
        jti: 'j',
      };
      return tokens().seal('public', { ...usual, ...claims }, { issuedAt, expiresAt: issuedAt + seconds });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type Issuer = Awaited<ReturnType<typeof startIssuer>>;

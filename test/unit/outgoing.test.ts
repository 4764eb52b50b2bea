/** Requests that go out: which addresses they reach, and how much of an answer they take. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createOutgoing, type OutgoingRequest } from '../../src/http/outgoing.ts';
import { machineMs } from '../support/machine_time.ts';

let server: Server;
let url: string;
let asked: string[] = [];
beforeAll(async () => {
  server = createServer((req, res) => {
    asked.push(req.url ?? '');
    if (req.url === '/moved') res.writeHead(307, { location: `${url}/target` }).end();
    else if (req.url === '/large') res.end(Buffer.alloc(300 * 1024));
    else if (req.url === '/endless') res.write('a');
    else if (req.url !== '/silent') res.setHeader('x-answer', 'yes').end(`answer to ${req.method}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const send = createOutgoing({ timeoutMs: 500 });
/** As to an address of the operator's. */
const outgoing = (address: string, options: OutgoingRequest = {}) =>
  send(address, { ...options, anywhere: true });

test('an address that the operator registered is asked, wherever it is', async () => {
  const answer = await outgoing(`${url}/here`, { method: 'POST', body: new URLSearchParams({ a: 'b' }) });
  expect([answer.status, answer.headers.get('x-answer'), await answer.text()]).toEqual([
    200,
    'yes',
    'answer to POST',
  ]);
});

test('every other one must be of the public internet: by name, by address, in every notation', async () => {
  asked = [];
  const port = new URL(url).port;
  for (const host of [
    'localhost',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0.0.0.0',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '198.18.0.1',
    '192.0.2.1',
    '224.0.0.1',
    '255.255.255.255',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:10.0.0.1]',
    '[fe80::1]',
    '[fd00::1]',
    '[::127.0.0.1]',
    '[::ffff:0:127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[64:ff9b::8.8.8.8]',
    '[64:ff9b:1::a00:1]',
    '[2001::1]',
    '[3fff::1]',
    '[5f00::1]',
    '[fec0::1]',
    '[4000::1]',
    '[2002:7f00:1::]',
    '[2001:db8::1]',
    '[ff02::1]',
  ]) {
    await expect(send(`https://${host}:${port}/`), host).rejects.toThrow(
      'not an address of the public internet',
    );
  }
  await expect(send(url)).rejects.toThrow('only https goes out');
  await expect(send('file:///etc/passwd')).rejects.toThrow('only https goes out');
  expect(asked).toEqual([]);
});

test('no redirect is followed, and a large, endless or missing answer ends in time', async () => {
  asked = [];
  expect((await outgoing(`${url}/moved`)).status).toBe(307);
  expect(asked).toEqual(['/moved']);
  await expect(outgoing(`${url}/large`)).rejects.toThrow('too large');
  for (const path of ['/endless', '/silent']) {
    const started = machineMs();
    await expect(outgoing(url + path)).rejects.toThrow();
    expect(machineMs() - started).toBeLessThan(2000);
  }
});

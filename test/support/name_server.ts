/** A name server for a test, in place of the machine's. It answers with an address, or never. */
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';

export interface NameServer {
  /** Names that it was asked for. */
  asked: Set<string>;
  close(): Promise<void>;
}

/** Answers `addressOf` of a name to questions for IPv4; is silent where that is undefined. */
export async function startNameServer(
  addressOf: (name: string) => string | undefined = () => undefined,
): Promise<NameServer> {
  const asked = new Set<string>();
  const socket = createSocket('udp4');
  socket.on('message', (question, from) => {
    const name = nameIn(question);
    asked.add(name);
    const address = addressOf(name);
    if (address !== undefined) socket.send(answerTo(question, address), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const here = `127.0.0.1:${socket.address().port}`;
  const { resolve4, resolve6 } = Resolver.prototype;
  const led = new WeakSet<Resolver>();
  const lead = (resolver: Resolver) => {
    if (led.has(resolver)) return;
    led.add(resolver);
    resolver.setServers([here]);
  };
  Object.assign(Resolver.prototype, {
    resolve4(this: Resolver, ...args: Parameters<typeof resolve4>) {
      lead(this);
      return resolve4.apply(this, args);
    },
    resolve6(this: Resolver, ...args: Parameters<typeof resolve6>) {
      lead(this);
      return resolve6.apply(this, args);
    },
  });
  return {
    asked,
    async close() {
      Object.assign(Resolver.prototype, { resolve4, resolve6 });
      socket.close();
    },
  };
}

/** The name in the question (RFC 1035, section 4.1.2), which begins after twelve bytes. */
function nameIn(message: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; message[at]; at += 1 + (message[at] ?? 0))
    labels.push(message.toString('latin1', at + 1, at + 1 + (message[at] ?? 0)));
  return labels.join('.');
}

/** One A record, or no record where another kind was asked for. */
function answerTo(question: Buffer, address: string): Buffer {
  const end = question.indexOf(0, 12) + 5;
  const isA = question.readUInt16BE(end - 4) === 1;
  const header = Buffer.from(question.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(isA ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([header, question.subarray(12, end), ...(isA ? [record] : [])]);
}

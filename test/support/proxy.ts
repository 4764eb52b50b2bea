/**
 * A TCP proxy between the server under test and its storage, for tests that slow the storage down, make it hang or
 * cut it off.
 */
import { once } from 'node:events';
import { createServer, connect as open, type Socket } from 'node:net';

export interface TcpProxy {
  /** The same URL, through the proxy. */
  url: string;
  /** Bytes of either direction arrive this much later from now on. */
  delay(milliseconds: number): void;
  /** Connections stay open, new ones are accepted, and nothing comes through any more: as a server that was stopped. */
  hang(): void;
  /** What the server asks arrives; what it is answered does not. */
  loseAnswers(): void;
  /** All connections are reset and new ones refused: as a server that was killed. */
  cut(): Promise<void>;
  /** As at first. Connections that hung are reset, as they are by a server that was started again. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a proxy on loopback to the host and port of `target`. */
export async function startProxy(target: string): Promise<TcpProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const sockets = new Set<Socket>();
  let delayMs = 0;
  let lost: 'nothing' | 'answers' | 'everything' = 'nothing';

  function pass(from: Socket, to: Socket, isAnswer: boolean): void {
    sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes) => {
      if (lost === 'everything' || (lost === 'answers' && isAnswer)) return;
      // With timers of one length the bytes stay in order.
      if (delayMs > 0) setTimeout(() => to.writable && to.write(bytes), delayMs);
      else to.write(bytes);
    });
    from.on('error', () => {});
    from.once('close', () => {
      sockets.delete(from);
      to.destroy();
    });
  }
  const server = createServer((client) => {
    const upstream = open(Number(targetPort), hostname);
    pass(client, upstream, false);
    pass(upstream, client, true);
  });
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  };
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const port = await listen(0);
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String(port);

  const cut = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    reset();
    await closed;
  };
  return {
    url: url.href,
    delay(milliseconds) {
      delayMs = milliseconds;
    },
    hang() {
      lost = 'everything';
    },
    loseAnswers() {
      lost = 'answers';
    },
    cut,
    async restore() {
      if (lost !== 'nothing') reset();
      lost = 'nothing';
      delayMs = 0;
      if (!server.listening) await listen(port);
    },
    close: cut,
  };
}

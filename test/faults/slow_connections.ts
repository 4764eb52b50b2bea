// A process that holds slow connections: `node slow_connections.ts PORT COUNT`. Half of them never finish their
// headers, half never finish their body. Each sends one byte a second. Prints `open` when all are open, and `ended`
// when the server has closed them all.
import { connect, type Socket } from 'node:net';

const [port, count] = process.argv.slice(2).map(Number) as [number, number];
const sockets: Socket[] = [];
let ended = 0;
const headers = 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ';
const body =
  'POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n';
for (let number = 0; number < count; number++) {
  const socket = connect(port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.on('error', () => {});
  socket.on('close', () => {
    ended += 1;
    if (ended === count) {
      process.stdout.write('ended\n');
      process.exit(0);
    }
  });
  socket.resume();
  socket.write(number % 2 === 0 ? headers : body);
  sockets.push(socket);
}
process.stdout.write('open\n');
let next = 0;
setInterval(() => {
  for (let turn = 0; turn < count / 50; turn++) {
    const socket = sockets[next++ % count];
    if (socket && !socket.destroyed) socket.write('a');
  }
}, 20);

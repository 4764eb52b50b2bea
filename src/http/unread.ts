/**
 * Requests that are answered before all of them has come: too large, or refused at the door. Node would read a body of any
 * length to its end and throw it away, or, where part of it was read, leave the connection open until the request times
 * out, and never see that the other side has left. Here a short rest is still read, for the connection to be used again;
 * of a longer one nothing more, and after a moment for the answer to be received (RFC 9112, section 9.6) the connection ends.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

const lingerMs = 500;
const shortRestBytes = 128 * 1024;

/** To be called for every request, before it is handled. */
export function endUnread(req: IncomingMessage, res: ServerResponse): void {
  res.once('finish', () => {
    const { socket } = req;
    // A socket that is gone has been taken away from the request.
    if (req.complete || !socket) return;
    const read = socket.bytesRead;
    req.on('data', () => {
      if (socket.bytesRead - read > shortRestBytes) socket.pause();
    });
    req.resume();
    setTimeout(() => {
      if (!req.complete) socket.destroy();
    }, lingerMs);
  });
}

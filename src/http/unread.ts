/**
 * Handles requests that are answered before their body has arrived: because it is too large, or because the request
 * was refused early. Node would read a body of any length to its end and discard it. Or, if part of it was read, Node
 * would leave the connection open until the request times out, and not notice that the client has left. Here a short
 * rest of a body is still read, so that the connection can be used again. A longer one is not read: the connection is
 * closed after a moment, in which the client can receive the answer (RFC 9112, section 9.6).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

const lingerMs = 500;
const shortRestBytes = 128 * 1024;

/** Call this for every request, before it is handled. */
export function endUnread(req: IncomingMessage, res: ServerResponse): void {
  res.once('finish', () => {
    const { socket } = req;
    // A socket that has closed is no longer attached to its request.
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

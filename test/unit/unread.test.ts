import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { endUnread } from '../../src/http/unread.ts';

test('an answer that is finished after its connection has gone harms nobody', () => {
  const response = new EventEmitter();
  // Node takes the socket away from a request whose connection was destroyed.
  const request = { complete: false, socket: null } as unknown as IncomingMessage;
  endUnread(request, response as unknown as ServerResponse);
  expect(() => response.emit('finish')).not.toThrow();
});

/** What an operator reads when the server cannot start: a sentence that names the setting, and no stack of ours. */
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { explainStartFault } from '../../src/config/start_faults.ts';

const config = {
  ...loadConfig(process.cwd(), { PORT: '3000' }),
  METRICS_PORT: 9464,
  METRICS_HOST: 'metrics.example',
  DATABASE_URL: 'postgres://db/x',
};
const fault = (properties: object, message = 'x') => Object.assign(new Error(message), properties);
const explain = (properties: object, message?: string) =>
  explainStartFault(fault(properties, message), config);

test.each([
  [{ syscall: 'listen', code: 'EADDRINUSE', port: 3000 }, 'PORT 3000 is taken'],
  [{ syscall: 'listen', code: 'EADDRINUSE', port: 9464 }, 'METRICS_PORT 9464 is taken'],
  [{ syscall: 'listen', code: 'EADDRNOTAVAIL', port: 3000 }, 'HOST 127.0.0.1 is no address'],
  [{ syscall: 'listen', code: 'EADDRNOTAVAIL', port: 9464 }, 'METRICS_HOST metrics.example is no address'],
  [{ syscall: 'connect', code: 'ECONNREFUSED' }, 'DATABASE_URL cannot be used'],
  [{ code: '28P01' }, 'DATABASE_URL cannot be used'],
])('%j is a setting to change', (properties, sentence) => {
  const { message, code } = explain(properties);
  expect(message).toContain(sentence);
  expect(message.split('\n')).toHaveLength(1);
  expect(code).toBe(78);
});

test('a host that has no address is named by its setting', () => {
  expect(explain({ syscall: 'getaddrinfo' }, 'getaddrinfo ENOTFOUND metrics.example')).toEqual({
    message: 'Cypher cannot start: METRICS_HOST metrics.example is no address of this machine',
    code: 78,
  });
});

test('a fault of ours keeps its stack, for whoever has to mend it', () => {
  const { message, code } = explain({}, 'a bug');
  expect(message).toMatch(/a bug\n +at /);
  expect(code).toBe(1);
});

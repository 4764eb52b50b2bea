/**
 * `npm start` as a newcomer runs it: a child process on an empty DATA_DIR with its own PostgreSQL. Killed without a
 * warning and started again, it has lost nothing that it acknowledged.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stopLeftOver } from '../../src/storage/embedded_postgres.ts';

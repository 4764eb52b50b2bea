/**
 * Reads the bodies of the interaction's steps and of the account page: JSON from scripts and native apps, forms from
 * pages. Size and type are checked before anything is parsed. Only the fields that a schema names are read.
 */
import type { Context } from 'koa';
import * as z from 'zod';
import { AppError, invalidRequest } from '../lib/errors.ts';
import { requestMemory } from '../lib/request_memory.ts';

/** Far more than the largest OPAQUE message with a long e-mail address, and too little to do harm. */
const mostBytes = 16 * 1024;

/**
 * Reads and checks the body. Throws AppError 413 or 400; the 400 shows the person the `message` of the schema's first
 * fault.
 */
export async function readBody<T>(ctx: Context, schema: z.ZodType<T>): Promise<T> {
  const type = ctx.is('json', 'urlencoded');
  if (!type) throw invalidRequest('Send JSON or a form.');
  const text = await readText(ctx);
  let value: unknown;
  if (type === 'json') {
    try {
      value = JSON.parse(text);
    } catch {
      throw invalidRequest('The body is not valid JSON.');
    }
  } else {
    value = Object.fromEntries(new URLSearchParams(text));
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalidRequest(
    issue?.path.length ? `${issue.path.join('.')}: ${issue.message}` : 'The body must be an object.',
  );
}

/** The text of a form, for a caller that parses it. Throws AppError 413 or 400. */
export async function readForm(ctx: Context): Promise<string> {
  if (!ctx.is('urlencoded')) throw invalidRequest('Send a form.');
  return readText(ctx);
}

const received = requestMemory<string>('body');

/** Waits for the whole body and keeps it for `readBody`. Throws AppError 413 or 400. */
export async function receiveBody(ctx: Context): Promise<void> {
  received.set(ctx, await readText(ctx));
}

async function readText(ctx: Context): Promise<string> {
  const known = received.get(ctx);
  if (known !== undefined) return known;
  if (ctx.get('content-encoding') !== '') throw invalidRequest('Compressed bodies are not taken.');
  const tooLarge = () => new AppError('payload_too_large', 'The body is too large.');
  if (Number(ctx.get('content-length')) > mostBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of ctx.req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const text = (most: number) => z.string('must be text').max(most, 'is too long');

const username = text(256);
export const emailAddress = z
  .string('must be text')
  .trim()
  .max(254, 'is too long')
  // \p{C}: control characters (PostgreSQL takes no NUL), invisible ones, halves of a surrogate pair.
  .regex(/^[^\s@\p{C}]+@[^\s@\p{C}]+$/u, 'must be an e-mail address');
const email = emailAddress.or(z.literal('').transform(() => undefined)).optional();
const opaqueMessage = text(1024);

/** The body of each step. */
export const bodies = {
  loginInit: z.object({ username, ke1: opaqueMessage }),
  loginFinish: z.object({ ke3: opaqueMessage }),
  registerInit: z.object({ username, request: opaqueMessage }),
  registerFinish: z.object({ username, record: opaqueMessage, email }),
  code: z.object({ code: text(64).trim() }),
  proofInit: z.object({ ke1: opaqueMessage }),
  proofFinish: z.object({ ke3: opaqueMessage, code: text(64).trim() }),
  passwordInit: z.object({ request: opaqueMessage }),
  passwordFinish: z.object({ record: opaqueMessage }),
  session: z.object({ session: text(64) }),
  client: z.object({ client: text(255) }),
  request: z.object({
    request: text(64),
    decision: z.enum(['allow', 'deny'], 'must be allow or deny'),
    code: text(64).trim().default(''),
  }),
  consent: z.object({ decision: z.enum(['allow', 'deny'], 'must be allow or deny') }),
};

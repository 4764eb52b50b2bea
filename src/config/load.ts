/**
 * Reads the configuration: the environment, NAME_FILE, CLIENTS_FILE, RESOURCES_FILE and FORWARD_AUTH_FILE. This room
 * is the only reader of process.env in the server. It collects all faults before it throws, so that one run shows all
 * of them. It does not own what the settings mean to the features.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { sha256 } from '../lib/crypto.ts';
import { type FileClient, fileClientSchema } from './client_schema.ts';
import { type ForwardAuth, forwardAuthSchema } from './forward_auth.ts';
import { misnamed } from './misnamed.ts';
import { redisFaults } from './redis.ts';
import { type Resource, resourceSchema, type Settings, settingsSchema } from './schema.ts';

export interface Config extends Omit<Settings, 'ISSUER'>, Files {
  ISSUER: string;
  /** The path of the file that DATABASE_URL was read from. */
  DATABASE_URL_FILE?: string | undefined;
  forwardAuth: ForwardAuth | undefined;
}

/** The contents of CLIENTS_FILE and RESOURCES_FILE. */
export interface Files {
  clients: FileClient[];
  resources: Resource[];
  /** The SHA-256 of each file that was read, by the name of its setting. */
  digests: Digests;
}

type Digests = Partial<Record<'CLIENTS_FILE' | 'RESOURCES_FILE' | 'FORWARD_AUTH_FILE', string>>;

/** What is gathered while files are read. */
interface Reading {
  faults: string[];
  digests: Digests;
}

/** The faults of the configuration. Each line of `faults` names a setting and says what would be right. */
export class ConfigError extends Error {
  readonly faults: string[];
  constructor(faults: string[]) {
    super(
      `The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
    this.faults = faults;
  }
}

/** The settings that may be in a file instead: NAME_FILE is its path. */
const inFiles = [
  'DATABASE_URL',
  'REDIS_URL',
  'REDIS_CA',
  'REDIS_CERTIFICATE',
  'REDIS_KEY',
  'KEY_ENCRYPTION_KEY',
  'KEY_ENCRYPTION_KEY_PREVIOUS',
  'CLIENT_CA',
];

/**
 * Loads and checks the whole configuration. Throws ConfigError with all faults. Relative paths start at `base`, the
 * folder of the installation. So the server and the commands find the same files, wherever they are started.
 */
export function loadConfig(base: string, env: NodeJS.ProcessEnv = process.env): Config {
  const faults: string[] = [];
  const given = readSettings(env, base, faults);
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) faults.push(`${issue.path[0]?.toString()} ${issue.message}`);
  }
  // A faulty setting is replaced by its default, so that the files are checked in the same run.
  const settings = parsed.success ? parsed.data : settingsSchema.parse(withoutFaulty(given, parsed.error));
  const paths = {
    DATA_DIR: resolve(base, settings.DATA_DIR),
    CLIENTS_FILE: resolve(base, settings.CLIENTS_FILE),
    RESOURCES_FILE: resolve(base, settings.RESOURCES_FILE),
  };
  const reading: Reading = { faults, digests: {} };
  const files = readFiles(paths, reading);
  const forwardAuth = settings.FORWARD_AUTH_FILE
    ? readForwardAuth(resolve(base, settings.FORWARD_AUTH_FILE), reading)
    : undefined;
  if (settings.FORWARD_AUTH_FILE && settings.TRUSTED_PROXIES.length === 0)
    faults.push(
      'FORWARD_AUTH_FILE needs TRUSTED_PROXIES: only a proxy is believed about the site that is asked for',
    );
  if (settings.METRICS_PORT === settings.PORT) faults.push('METRICS_PORT must be another port than PORT');
  if (settings.CLIENT_CERTIFICATE_HEADER && settings.TRUSTED_PROXIES.length === 0)
    faults.push(
      'CLIENT_CERTIFICATE_HEADER needs TRUSTED_PROXIES: only a proxy is believed about a certificate',
    );
  if (parsed.success) faults.push(...redisFaults(settings));
  if (faults.length > 0) throw new ConfigError(faults);
  return {
    ...settings,
    ...paths,
    DATABASE_URL_FILE: env.DATABASE_URL_FILE ? resolve(base, env.DATABASE_URL_FILE) : undefined,
    ISSUER: settings.ISSUER ?? `http://localhost:${settings.PORT}`,
    ...files,
    forwardAuth,
  };
}

/** A sentence for each environment variable that looks like a setting but is not one. */
export function misnamedSettings(env: NodeJS.ProcessEnv = process.env): string[] {
  const known = [...Object.keys(settingsSchema.shape), ...inFiles.map((name) => `${name}_FILE`)];
  return misnamed(Object.keys(env), known).map(
    ({ name, meant }) => `${name} is no setting and was ignored: ${meant} is one`,
  );
}

/** Reads CLIENTS_FILE and RESOURCES_FILE again. Throws ConfigError with all faults of both. */
export function loadFiles(config: Pick<Config, 'CLIENTS_FILE' | 'RESOURCES_FILE'>): Files {
  const reading: Reading = { faults: [], digests: {} };
  const files = readFiles(config, reading);
  if (reading.faults.length > 0) throw new ConfigError(reading.faults);
  return files;
}

function readFiles(
  { CLIENTS_FILE, RESOURCES_FILE }: Pick<Config, 'CLIENTS_FILE' | 'RESOURCES_FILE'>,
  reading: Reading,
): Files {
  const { faults, digests } = reading;
  const clients = readList('CLIENTS_FILE', CLIENTS_FILE, fileClientSchema, reading);
  const resources = readList('RESOURCES_FILE', RESOURCES_FILE, resourceSchema, reading);
  for (const id of duplicates(clients.map((client) => client.client_id))) {
    faults.push(`CLIENTS_FILE ${CLIENTS_FILE}: client_id "${id}" is given twice`);
  }
  for (const audience of duplicates(resources.map((resource) => resource.audience))) {
    faults.push(`RESOURCES_FILE ${RESOURCES_FILE}: audience "${audience}" is given twice`);
  }
  const types = resources.flatMap((resource) => Object.keys(resource.authorization_details_types));
  for (const type of duplicates(types)) {
    faults.push(`RESOURCES_FILE ${RESOURCES_FILE}: authorization_details_types "${type}" is given twice`);
  }
  return { clients, resources, digests };
}

function readSettings(env: NodeJS.ProcessEnv, base: string, faults: string[]): Record<string, string> {
  const given: Record<string, string> = {};
  for (const name of Object.keys(settingsSchema.shape)) {
    const value = env[name];
    if (value !== undefined && value !== '') given[name] = value;
    const file = inFiles.includes(name) ? env[`${name}_FILE`] : undefined;
    if (!file) continue;
    if (given[name] !== undefined) {
      faults.push(`${name} and ${name}_FILE are both set: keep one`);
      continue;
    }
    try {
      given[name] = readFileSync(resolve(base, file), 'utf8').trim();
    } catch (error) {
      faults.push(`${name}_FILE cannot be read: ${(error as Error).message}`);
    }
  }
  return given;
}

function withoutFaulty(given: Record<string, string>, error: z.ZodError): Record<string, string> {
  const faulty = new Set(error.issues.map((issue) => issue.path[0]));
  return Object.fromEntries(Object.entries(given).filter(([name]) => !faulty.has(name)));
}

function readJson(setting: keyof Digests, path: string, { faults, digests }: Reading): unknown {
  try {
    const text = readFileSync(path, 'utf8');
    digests[setting] = sha256(text);
    return JSON.parse(text);
  } catch (error) {
    faults.push(`${setting} ${path} must be a readable JSON file: ${(error as Error).message}`);
    return undefined;
  }
}

function readForwardAuth(path: string, reading: Reading): ForwardAuth | undefined {
  const json = readJson('FORWARD_AUTH_FILE', path, reading);
  if (json === undefined) return undefined;
  const parsed = forwardAuthSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues)
    reading.faults.push(`FORWARD_AUTH_FILE ${path}: ${jsonPath(issue.path)} ${issue.message}`);
  return undefined;
}

function readList<T>(setting: keyof Digests, path: string, schema: z.ZodType<T>, reading: Reading): T[] {
  const { faults } = reading;
  const list = readJson(setting, path, reading);
  if (list === undefined) return [];
  if (!Array.isArray(list)) {
    faults.push(`${setting} ${path} must hold a JSON array`);
    return [];
  }
  return list.flatMap((entry: unknown, index) => {
    const parsed = schema.safeParse(entry);
    if (parsed.success) return [parsed.data];
    for (const issue of parsed.error.issues) {
      faults.push(`${setting} ${path}: ${jsonPath([index, ...issue.path])} ${issue.message}`);
    }
    return [];
  });
}

/** A place in a JSON file, as RFC 9535 writes it. */
const jsonPath = (steps: PropertyKey[]): string =>
  `$${steps.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('')}`;

const duplicates = (values: string[]): string[] => [
  ...new Set(values.filter((value, index) => values.indexOf(value) !== index)),
];

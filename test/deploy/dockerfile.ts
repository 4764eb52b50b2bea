/** Reads a Dockerfile, and which files of a folder Docker would be given. Knows what ours uses, and refuses the rest. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

export interface Step {
  instruction: string;
  /** Without the instruction, with continued lines joined. */
  rest: string;
}

export interface Stage {
  /** An image, or the name of an earlier stage. */
  from: string;
  name: string | undefined;
  steps: Step[];
}

const known = new Set([
  'ARG',
  'CMD',
  'COPY',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'LABEL',
  'RUN',
  'USER',
  'WORKDIR',
]);

export function readDockerfile(text: string): Stage[] {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: Stage[] = [];
  for (const line of lines) {
    const [, instruction = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (!known.has(instruction)) throw new Error(`the Dockerfile has a step that is not known here: ${line}`);
    if (instruction === 'FROM') {
      const [from = '', , name] = rest.split(/\s+/);
      stages.push({ from, name, steps: [] });
    } else stages.at(-1)?.steps.push({ instruction, rest: rest.trim() });
  }
  return stages;
}

/** Whether .dockerignore leaves a path out: the last pattern that fits it, or a folder above it, decides. */
function isIgnored(path: string, patterns: string[]): boolean {
  let ignored = false;
  for (const pattern of patterns) {
    const includes = pattern.startsWith('!');
    const body = (includes ? pattern.slice(1) : pattern).replace(/[.+^${}()|[\]\\]/g, '\\$&');
    if (new RegExp(`^${body.replaceAll('*', '[^/]*')}(/|$)`).test(path)) ignored = !includes;
  }
  return ignored;
}

/** The files of a folder that are sent to Docker, relative to it. */
export function contextOf(folder: string): string[] {
  const patterns = readFileSync(join(folder, '.dockerignore'), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const below = (directory: string): string[] =>
    readdirSync(join(folder, directory), { withFileTypes: true }).flatMap((entry) => {
      const path = posix.join(directory, entry.name);
      // Docker would look into an ignored folder for what a later pattern includes. Ours has no such pattern.
      if (isIgnored(path, patterns)) return [];
      return entry.isDirectory() ? below(path) : [path];
    });
  return below('');
}

/**
 * Carries out the steps of the Dockerfile without Docker: each stage is a folder that stands for the root of its file
 * system, and the paths of the image are rewritten to paths below it. The programs of the base image are this machine's.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Stage, Step } from './dockerfile.ts';

/** What a container is made from. */
export interface Image {
  /** The folder that stands for `/`. */
  root: string;
  env: Record<string, string>;
  workdir: string;
  /** Numeric ids, as the kubelet needs them. */
  user: { uid: number; gid: number } | undefined;
  /** Arguments with their paths in the image. */
  cmd: string[];
  healthcheck: string[];
}

interface Context {
  folder: string;
  files: string[];
}

export const isRoot = process.getuid?.() === 0;

/** An image that has nothing but Node. `parent`: where its folder is made. */
export async function baseImage(parent: string): Promise<Image> {
  const root = mkdtempSync(join(parent, 'image-'));
  // Another user than ours is to read what is in it.
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  await copyFile(process.execPath, join(root, 'usr/local/bin/node'));
  return { root, env: {}, workdir: '/', user: undefined, cmd: [], healthcheck: [] };
}

/** A copy to go on with. Its files are linked: nothing may change one in place. */
export function copyOf(image: Image, parent: string): Image {
  const root = mkdtempSync(join(parent, 'image-'));
  chmodSync(root, 0o755);
  copyTree(image.root, root);
  return { ...image, root, env: { ...image.env } };
}

/** Builds a stage on `base`. `stages`: the images that `COPY --from` may name. */
export async function buildStage(
  base: Image,
  stage: Stage,
  stages: ReadonlyMap<string, Image>,
  context: Context,
): Promise<Image> {
  let image = base;
  for (const step of stage.steps) image = await carryOut(image, step, stages, context);
  return image;
}

async function carryOut(
  image: Image,
  { instruction, rest }: Step,
  stages: ReadonlyMap<string, Image>,
  context: Context,
): Promise<Image> {
  switch (instruction) {
    case 'ENV': {
      const pairs = rest.split(/\s+/).map((pair) => pair.split('=') as [string, string]);
      return { ...image, env: { ...image.env, ...Object.fromEntries(pairs) } };
    }
    case 'WORKDIR':
      mkdirSync(join(image.root, rest), { recursive: true });
      return { ...image, workdir: rest };
    case 'USER': {
      const [uid, gid] = rest.split(':').map(Number);
      if (!Number.isInteger(uid) || !Number.isInteger(gid))
        throw new Error(
          `USER ${rest} must be two numbers: Kubernetes cannot tell by a name that it is not root`,
        );
      return { ...image, user: { uid: Number(uid), gid: Number(gid) } };
    }
    case 'RUN':
      await runShell(image, rest);
      return image;
    case 'COPY':
      copyInto(image, rest.split(/\s+/), stages, context);
      return image;
    case 'CMD':
      return { ...image, cmd: JSON.parse(rest) };
    case 'HEALTHCHECK':
      return { ...image, healthcheck: JSON.parse(rest.replace(/^.*?CMD /, '')) };
    default:
      return image;
  }
}

function copyInto(image: Image, words: string[], stages: ReadonlyMap<string, Image>, context: Context): void {
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined;
  const target = words.at(-1) ?? '';
  for (const source of words.slice(0, -1)) {
    const to = (name: string) =>
      join(image.root, resolve(image.workdir, target), target.endsWith('/') ? name : '');
    if (from !== undefined) {
      const stage = stages.get(from);
      if (!stage || !existsSync(join(stage.root, source)))
        throw new Error(`COPY --from=${from} ${source}: not there`);
      copyTree(join(stage.root, source), to(source));
      continue;
    }
    const files = context.files.filter((path) => path === source || path.startsWith(`${source}/`));
    if (files.length === 0) throw new Error(`COPY ${source}: not there, or left out by .dockerignore`);
    for (const path of files) {
      const copied = path === source ? to(source) : join(to(''), path.slice(source.length));
      mkdirSync(dirname(copied), { recursive: true });
      cpSync(join(context.folder, path), copied);
    }
  }
}

/** Copies a folder with links to the same files, which takes no time. */
function copyTree(from: string, to: string): void {
  cpSync(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    filter(source, copied) {
      const stat = lstatSync(source);
      if (stat.isDirectory()) {
        mkdirSync(copied, { recursive: true });
        chmodSync(copied, stat.mode);
        if (isRoot) chownSync(copied, stat.uid, stat.gid);
      }
      if (!stat.isFile()) return true;
      mkdirSync(dirname(copied), { recursive: true });
      linkSync(source, copied);
      return false;
    },
  });
}

/** A text of the image with its absolute paths below the folder that stands for its root. */
export const below = ({ root }: Pick<Image, 'root'>, text: string): string =>
  text.replaceAll(
    /(?<![\w.*/-])\/(app|data|etc\/cypher|run\/secrets|usr\/local)(?=[/\s"']|$)/g,
    `${root}/$1`,
  );

async function runShell(image: Image, command: string): Promise<void> {
  // Only root may give a file to somebody else.
  const script = isRoot ? command : command.replaceAll(/ -[og] \d+/g, '');
  await promisify(execFile)('/bin/sh', ['-ec', below(image, script)], optionsOf(image, {}));
}

function optionsOf(image: Image, settings: Record<string, string>) {
  const { HOME = '', PATH = '' } = process.env;
  const inherited = {
    HOME,
    PATH: join(image.root, 'usr/local/bin') + delimiter + PATH,
    npm_config_prefer_offline: 'true',
  };
  const given = Object.entries({ ...image.env, ...settings }).map(([name, value]) => [
    name,
    below(image, value),
  ]);
  return {
    cwd: join(image.root, image.workdir),
    env: { ...inherited, ...Object.fromEntries(given) },
    ...(isRoot && image.user),
  };
}

/** Starts a command in the image, as its user, with its environment and these settings. */
export function runIn(
  image: Image,
  [program = '', ...args]: string[],
  settings: Record<string, string>,
): Container {
  const path = program === 'node' ? join(image.root, 'usr/local/bin/node') : below(image, program);
  const child = spawn(path, args, { ...optionsOf(image, settings), stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes) => {
      output += bytes;
    });
  }
  const ended = new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  return { child, output: () => output, ended };
}

export interface Container {
  child: ChildProcess;
  output(): string;
  /** Resolves to the exit code, null where a signal ended it. */
  ended: Promise<number | null>;
}

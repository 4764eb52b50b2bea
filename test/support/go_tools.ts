/** Programs that are packages of Go: built once, with the Go of this machine. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../src/root.ts';
import { findOnPath } from './programs.ts';

const packages = {
  helm: 'helm.sh/helm/v4/cmd/helm@v4.3.1',
  kubeconform: 'github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0',
};

/**
 * The path of a program: from the PATH, or built, which takes minutes the first time. Undefined where there is no Go, or
 * where Go cannot fetch or build the package; the reason is printed.
 */
export async function goTool(name: keyof typeof packages): Promise<string | undefined> {
  const present = findOnPath(name);
  if (present) return present;
  const source = packages[name];
  const folder = join(root, 'node_modules/.cache/go', source.replace(/.*@/, ''));
  const program = join(folder, name);
  if (existsSync(program)) return program;
  if (!findOnPath('go')) {
    console.warn(`Skipped what needs ${name}: neither it nor Go is on the PATH.`);
    return undefined;
  }
  await mkdir(folder, { recursive: true });
  // Of the Go that is there, without a download of another one.
  const env = { ...process.env, GOBIN: folder, GOTOOLCHAIN: 'local' };
  try {
    await promisify(execFile)('go', ['install', source], { env, maxBuffer: 2 ** 26 });
    return program;
  } catch (error) {
    console.warn(`Skipped what needs ${name}: \`go install ${source}\` failed: ${(error as Error).message}`);
    return undefined;
  }
}

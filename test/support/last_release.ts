/**
 * The release before this one, built from the history: test/upgrade/last_release.json names its commit. Whoever makes a
 * release changes that file.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../src/root.ts';

export const lastRelease = JSON.parse(readFileSync(join(root, 'test/upgrade/last_release.json'), 'utf8')) as {
  version: string;
  commit: string;
};

const git = (...words: string[]): Buffer =>
  execFileSync('git', ['-C', root, ...words], { maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] });

/** Why the last release cannot be built here. Undefined if it can. */
export const cannotBuild: string | undefined = (() => {
  try {
    git('cat-file', '-e', `${lastRelease.commit}^{commit}`);
    return undefined;
  } catch {
    return `skipped: the history has no commit ${lastRelease.commit.slice(0, 7)}, get it with git fetch --unshallow`;
  }
})();

/** The text of a file of the last release. Undefined if it had no such file. */
export function fileOfLastRelease(path: string): string | undefined {
  try {
    return git('show', `${lastRelease.commit}:${path}`).toString();
  } catch {
    return undefined;
  }
}

/** Builds the last release in this directory, with the packages that are installed here. */
export async function buildLastRelease(directory: string): Promise<void> {
  execFileSync('tar', ['-x', '-C', directory], { input: git('archive', lastRelease.commit) });
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
  await symlink(join(root, 'views/assets'), join(directory, 'views/assets'));
  execFileSync(process.execPath, [join(directory, 'src/build_server.ts')]);
}

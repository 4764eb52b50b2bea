/** Installs the peers beside this file, once; they are no dependency of the server or of its tests. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const manifest = readFileSync(join(here, 'package.json'), 'utf8');
const installed = join(here, 'node_modules', '.installed.json');

/** Runs npm unless what package.json names is installed. */
export function installPeers(say: (text: string) => void): void {
  if (existsSync(installed) && readFileSync(installed, 'utf8') === manifest) return;
  say('installing the peers (once)');
  // better-auth's packages name one another as peers in ways that npm finds no answer to.
  const flags = ['--legacy-peer-deps', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund'];
  execFileSync('npm', ['install', ...flags, '--loglevel=error'], {
    cwd: here,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  writeFileSync(installed, manifest);
}

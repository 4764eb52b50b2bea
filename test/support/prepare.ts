// Run by `npm test` before the tests. They need programs that npm does not install: a Redis server, a Chromium, an
// nginx. This script finds each of them, or installs it if it may do so without asking, or names it in one line.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { missingForPatroni } from './patroni_programs.ts';
import { findChromium, findNginx, findOnPath, findPgBouncer } from './programs.ts';

const mayInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version') && findOnPath('apt-get');
const missing: { name: string; aptPackage: string; otherwise: string }[] = [];
/** Packages of Debian for tests that are skipped without them. */
const optional: string[][] = [];
if (!process.env.REDIS_URL && !findOnPath('redis-server')) {
  missing.push({
    name: 'redis-server',
    aptPackage: 'redis-server',
    otherwise: 'set REDIS_URL to a Redis whose databases may be emptied',
  });
}
if (!findChromium()) {
  missing.push({
    name: 'Chromium',
    aptPackage: 'chromium',
    otherwise: 'set CHROMIUM to the path of a Chromium or Chrome',
  });
}
if (!findNginx()) {
  missing.push({
    name: 'nginx',
    aptPackage: 'nginx-light',
    otherwise: 'put nginx on the PATH',
  });
}

if (!findOnPath('openssl')) {
  missing.push({ name: 'openssl', aptPackage: 'openssl', otherwise: 'put openssl on the PATH' });
}
if (mayInstall && !(findOnPath('prometheus') && findOnPath('promtool'))) optional.push(['prometheus']);
if (mayInstall && !existsSync('/usr/lib/apache2/modules/mod_auth_openidc.so'))
  optional.push(['apache2', 'libapache2-mod-auth-openidc']);
if (!findPgBouncer()) {
  if (mayInstall) optional.push(['pgbouncer']);
  else
    console.log(
      'PgBouncer is not installed: the tests with it are skipped (Debian: apt-get install pgbouncer).',
    );
}

if (missingForPatroni()) {
  if (mayInstall) optional.push(['patroni', 'etcd-server', 'haproxy', 'postgresql']);
  else console.log(`The tests with Patroni are skipped: this machine lacks ${missingForPatroni()}.`);
}

if (missing.length > 0) {
  if (!mayInstall) {
    for (const { name, aptPackage, otherwise } of missing) {
      console.error(
        `The tests need ${name}: install it (Debian: apt-get install ${aptPackage}), or ${otherwise}.`,
      );
    }
    process.exit(1);
  }
}
const required = missing.map(({ aptPackage }) => aptPackage);
if (required.length + optional.length > 0) {
  console.log(`The tests use ${[...required, ...optional.flat()].join(', ')}: installing with apt-get.`);
  withoutStartingServices(() => {
    attempt(() => aptGet('update', '-q'), 'The lists of packages may be old.');
    if (required.length > 0) install(required);
    for (const packages of optional)
      attempt(() => install(packages), `The tests that need ${packages.join(', ')} are skipped.`);
  });
}

function install(packages: string[]): void {
  aptGet('install', '-y', '-q', '--no-install-recommends', ...packages);
}

function aptGet(...words: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', words, { stdio: 'inherit', env });
}

/** Not every release of Debian or Ubuntu has each package, and not every machine reaches a mirror. */
function attempt(work: () => void, otherwise: string): void {
  try {
    work();
  } catch {
    console.log(`apt-get failed, see above. ${otherwise}`);
  }
}

/** Debian's packages start the services they bring, unless this file says no; the tests start a Redis of their own. */
function withoutStartingServices(install: () => void): void {
  const policy = '/usr/sbin/policy-rc.d';
  const isOurs = !existsSync(policy);
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    install();
  } finally {
    if (isOurs) rmSync(policy);
  }
}

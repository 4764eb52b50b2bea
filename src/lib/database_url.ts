/**
 * Takes DATABASE_URL apart. It may name several hosts, as libpq writes them: `postgres://user:password@one:5432,two:5432/name`.
 * Pure. https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */

const form = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^@/?#]*)([/?#].*)?$/;
const mostHosts = 20;
/** A server that takes no writes is of no use here, so the other values of libpq are refused. */
const usableAttributes = ['read-write', 'primary'];

/** One URL for each host of `databaseUrl`, in its order. Throws RangeError with what would be right. */
export function urlsOf(databaseUrl: string): string[] {
  const [, before = '', hosts = '', after = ''] = form.exec(databaseUrl) ?? [];
  const urls = hosts.split(',').map((host) => `${before}${host}${after}`);
  const several = urls.length > 1;
  if (
    !before ||
    urls.length > mostHosts ||
    !urls.every((url) => URL.canParse(url)) ||
    (several && /^,|,,|,$/.test(hosts))
  )
    throw new RangeError(
      'must be postgres://user:password@host:port/database, or with several hosts: …@host1:port,host2:port/database',
    );
  const { searchParams } = new URL(urls[0] ?? '');
  if (searchParams.get('host')?.includes(',') || (several && searchParams.has('host')))
    throw new RangeError(
      'must name several hosts before the name of the database: …@host1:port,host2:port/database',
    );
  const attributes = searchParams.get('target_session_attrs') ?? 'read-write';
  if (!usableAttributes.includes(attributes))
    throw new RangeError(
      'must have no target_session_attrs, or read-write: only a server that takes writes is used',
    );
  return urls;
}

/** What would be right, where `databaseUrl` is of no use. */
export function databaseUrlFault(databaseUrl: string): string | undefined {
  try {
    urlsOf(databaseUrl);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

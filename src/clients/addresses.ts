/** The addresses in a client's metadata at which this server may be sent to ask. Pure. */

/** Each as it would be asked for. */
export const addressesOf = (metadata: Record<string, unknown>): string[] =>
  Object.entries(metadata).flatMap(([name, value]) =>
    /_(uri|uris|endpoint)$/.test(name)
      ? [value].flat().flatMap((uri) => URL.parse(String(uri))?.href ?? [])
      : [],
  );

/** Imports a package of the peers: from here, so that it is this directory's node_modules that are looked in. */
export const loadPeer = (name: string): Promise<unknown> => import(name);

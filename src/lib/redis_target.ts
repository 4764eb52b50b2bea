/** Which Redis to use, and how to reach it: what REDIS_URL and the settings beside it say. */
export interface RedisTarget {
  kind: 'single' | 'sentinel' | 'cluster';
  /** One host, or the sentinels, or some nodes of the cluster. */
  hosts: RedisHost[];
  /** The name by which the sentinels know the primary. Empty unless `kind` is `sentinel`. */
  name: string;
  /** The number of the database. 0 unless `kind` is `single`. */
  database: number;
  /** The ACL user of Redis. Without a name the password is that of the default user. */
  user: RedisUser;
  /** The ACL user of the sentinels themselves. */
  sentinelUser: RedisUser;
  /** Undefined for connections without TLS. */
  tls: RedisTls | undefined;
}

export interface RedisHost {
  host: string;
  port: number;
}

export interface RedisUser {
  username?: string | undefined;
  password?: string | undefined;
}

/** All of it in PEM. Without `ca` the certificate of Redis is checked against the CAs that Node.js knows. */
export interface RedisTls {
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
}

/** The privileges of a database user who runs servers, but does not own the tables. */
import pg from 'pg';
import type { DatabaseSource } from './connection.ts';
import { connectedTo, inLongTransaction } from './maintenance.ts';
import { migrationsTable } from './migrate.ts';

/**
 * Lets `user` read and write the rows of all tables in our schema, also of those that later migrations make. It gets no
 * right to change the tables. So it cannot remove the triggers that protect the audit log. Run this as the owner.
 */
export function grantUse(source: DatabaseSource, user: string): Promise<void> {
  return connectedTo(source, 'cypher migrate', (client) =>
    inLongTransaction(client, '', async () => {
      // Before PostgreSQL 17 only the owner may vacuum. Then autovacuum alone does.
      const { rows } = await client.query<{ schema: string; may_grant_vacuum: boolean }>(
        `select current_schema() as schema,
           current_setting('server_version_num')::int >= 170000 as may_grant_vacuum`,
      );
      const schema = pg.escapeIdentifier(String(rows[0]?.schema));
      const to = pg.escapeIdentifier(user);
      const rowRights = 'select, insert, update, delete';
      await client.query(
        `grant usage on schema ${schema} to ${to};
         grant ${rowRights} on all tables in schema ${schema} to ${to};
         grant usage on all sequences in schema ${schema} to ${to};
         alter default privileges in schema ${schema} grant ${rowRights} on tables to ${to};
         alter default privileges in schema ${schema} grant usage on sequences to ${to};
         revoke insert, update, delete on ${migrationsTable} from ${to};
         revoke update on audit_log from ${to}`,
      );
      if (rows[0]?.may_grant_vacuum)
        await client.query(
          `grant maintain on all tables in schema ${schema} to ${to};
           alter default privileges in schema ${schema} grant maintain on tables to ${to}`,
        );
    }),
  );
}

/**
 * The accounts of a Cypher that is measured. One person signs up over HTTP; the others are that person under other names:
 * the same password, OPAQUE record and authenticator, so that they can be made by the million.
 */
import { generateSync } from 'otplib';
import pg from 'pg';
import { createSealer, randomId } from '../../src/lib/crypto.ts';
import { signUp } from './sign_in.ts';
import type { Cypher } from './subjects/cypher.ts';

export interface People {
  /** Adds people who can sign in. */
  add(cypher: Cypher, count: number): Promise<void>;
  /** Somebody whose code of this time step was not used yet: they come in turn. */
  next(): string;
  /** The authenticator's code of now. */
  code(): string;
  query(text: string, values?: unknown[]): Promise<void>;
}

const batch = 5000;
const totpSecret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
/** Names of the same length, so that nothing but the name differs. */
export const nameOf = (number: number): string => `person${String(number).padStart(8, '0')}`;

export function createPeople(databaseUrl: string, kek: Uint8Array): People {
  const sealer = createSealer(kek);
  let count = 0;
  let turn = 0;
  let codeAt = { step: 0, code: '' };

  async function query(text: string, values: unknown[] = []): Promise<void> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query(text, values).finally(() => client.end());
  }

  return {
    query,
    async add(cypher, more) {
      if (count === 0) await signUp(cypher, 'pattern');
      for (let from = count; from < count + more; from += batch) {
        const size = Math.min(batch, count + more - from);
        const ids = Array.from({ length: size }, () => randomId());
        await query(
          `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite,
             opaque_stretching, opaque_key_id, totp_secret, totp_kek_id, created_at)
           select n.id, n.name, n.name, a.credential_id, a.opaque_record, a.opaque_suite, a.opaque_stretching, a.opaque_key_id,
             n.sealed, $4, now()
           from accounts a, unnest($1::text[], $2::text[], $3::bytea[]) as n (id, name, sealed)
           where a.username_key = 'pattern'`,
          [
            ids,
            ids.map((_, index) => nameOf(from + index)),
            ids.map((id) => sealer.seal(Buffer.from(totpSecret), `accounts ${id} totp_secret`)),
            sealer.kekId,
          ],
        );
      }
      count += more;
      await query('vacuum analyze accounts');
    },
    next() {
      turn += 1;
      return nameOf(turn % count);
    },
    code() {
      const epoch = Math.floor(Date.now() / 1000);
      const step = Math.floor(epoch / 30);
      if (codeAt.step !== step) codeAt = { step, code: generateSync({ secret: totpSecret, epoch }) };
      return codeAt.code;
    },
  };
}

/** The stores behind the library's models. Each adapter uses those that its model needs. */
import type { Revocations } from '../../revocation/revocations.ts';
import type { SessionStore } from '../../sessions/store.ts';
import type { Query } from '../../storage/database.ts';
import type { Ephemeral } from '../../storage/ephemeral.ts';
import type { Registrations } from '../clients/registration.ts';
import type { RecordStore } from './record_store.ts';

export interface Stores {
  sessions: SessionStore;
  records: RecordStore;
  revocations: Revocations;
  ephemeral: Ephemeral;
  registrations: Registrations;
  /** See read_ahead.ts. */
  readAhead: Query;
  /** The widest network that an IP address belongs to. Everything begun from one network counts as one owner's. */
  networkOf(address: string): string;
}

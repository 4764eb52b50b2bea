/**
 * A process that does nothing but the server's login/init, told how often by its parent: opaque-ts as it is (`stock`), or as
 * Cypher runs it (`native`), wire format and point checks included.
 */
import {
  getOpaqueConfig,
  IdentityMemHardFn,
  KE1,
  OpaqueClient,
  OpaqueID,
  OpaqueServer,
  RegistrationRecord,
} from '@cloudflare/opaque-ts';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { createOpaque, generateOpaqueKeys } from '../../src/opaque/opaque.ts';
import { OPAQUE_CONTEXT, toBase64url } from '../../src/opaque/wire.ts';

const native = process.argv[2] === 'native';
if (native && !(await installNativeGroup())) throw new Error('the native arithmetic failed its self-check');
const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);
const keys = await generateOpaqueKeys();
// The shape of a record is what counts here, not whose it is.
const record = Uint8Array.from((await RegistrationRecord.createFake(config)).serialize());
const ke1 = await new OpaqueClient(config, IdentityMemHardFn).authInit('a password');
if (ke1 instanceof Error) throw ke1;
const ke1Bytes = ke1.serialize();

async function stockInit(): Promise<void> {
  const pair = { private_key: [...keys.privateKey], public_key: [...keys.publicKey] };
  const server = new OpaqueServer(config, [...keys.seed], pair);
  const message = KE1.deserialize(config, ke1Bytes);
  const stored = RegistrationRecord.deserialize(config, [...record]);
  const answer = await server.authInit(message, stored, 'credential', undefined, OPAQUE_CONTEXT);
  if (answer instanceof Error) throw answer;
}

const versions = [{ id: 'version', keys }];
const opaque = await createOpaque({ versions, fakeKeys: keys, unknownNameKey: new Uint8Array(32) });
const credential = { credentialId: 'credential', opaqueRecord: record, opaqueKeyId: 'version' };
const nativeInit = () => opaque.loginInit(toBase64url(ke1Bytes), credential, 'name');

process.on('message', async ({ count }: { count: number }) => {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const latencies: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const from = performance.now();
    await (native ? nativeInit() : stockInit());
    latencies.push(performance.now() - from);
  }
  const { user, system } = process.cpuUsage(cpu);
  process.send?.({
    latencies,
    seconds: (performance.now() - begun) / 1000,
    cpuSeconds: (user + system) / 1e6,
  });
});
process.send?.({ ready: true });

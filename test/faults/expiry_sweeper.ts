// The sweeper at its own pace in a process of its own, so that its time can be told from that of the flow.
import { createLog } from '../../src/lib/log.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { createSweeper, sweepEveryMs } from '../../src/storage/sweeper.ts';

const [url = ''] = process.argv.slice(2);
const database = openDatabase(`${url}?application_name=sweeper`, { onIdleError: () => {} });
createSweeper(database, createLog('warn'), Date.now).start(sweepEveryMs);
// The sweeper's timer keeps no process alive.
setInterval(() => {}, 60_000);

// Runs the sweeper at its own pace in a separate process, so that its CPU time is measured apart from that of the
// flow.
import { createLog } from '../../src/lib/log.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { createSweeper, sweepEveryMs } from '../../src/storage/sweeper.ts';

const [url = ''] = process.argv.slice(2);
const database = openDatabase(`${url}?application_name=sweeper`, { onIdleError: () => {} });
createSweeper(database, createLog('warn'), Date.now).start(sweepEveryMs);
// The sweeper's timer keeps no process alive.
setInterval(() => {}, 60_000);

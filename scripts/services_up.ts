import { writeFile } from 'node:fs/promises';
import { ALL_SERVERS, startServers } from './services/start_all.ts';

// npm run services [-- kafka redis …]: the tests' servers, until Ctrl-C. Their addresses are printed (and written to SERVICES_ENV_FILE).
const names = process.argv.slice(2);
const servers = await startServers(names.length === 0 ? ALL_SERVERS : names);
const lines = Object.entries(servers.env).map(([name, value]) => `${name}=${value}`);
process.stdout.write(`${lines.join('\n')}\n`);
const file = process.env.SERVICES_ENV_FILE;
if (file !== undefined) await writeFile(file, `${lines.join('\n')}\n`);
const keepAlive = setInterval(() => {}, 60_000);
const stop = (): void => {
  clearInterval(keepAlive);
  void servers.stop();
};
process.once('SIGINT', stop);
process.once('SIGTERM', stop);
if (servers.failures.length > 0) process.exitCode = 1;

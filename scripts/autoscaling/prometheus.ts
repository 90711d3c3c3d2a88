import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, type ManagedProcess, startProcess } from '#scripts/services/managed_process';

/** Prometheus, which looks at processes every second. */
export interface Prometheus extends Pick<ManagedProcess, 'stop'> {
  readonly url: string;
  /** @param urls - of all listeners that are looked at from now on */
  look(urls: readonly string[]): Promise<void>;
}

export async function startPrometheus(folder: string): Promise<Prometheus> {
  const targets = join(folder, 'targets.json');
  const config = join(folder, 'prometheus.json');
  const look: Prometheus['look'] = async (urls) => {
    await writeFile(targets, JSON.stringify([{ targets: urls.map((url) => new URL(url).host) }]));
  };
  await look([]);
  const job = { job_name: 'workflows', file_sd_configs: [{ files: [targets], refresh_interval: '1s' }] };
  // YAML holds JSON.
  await writeFile(config, JSON.stringify({ global: { scrape_interval: '1s' }, scrape_configs: [job] }));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    ...{ name: 'prometheus', command: '/usr/bin/prometheus', logFile: join(folder, 'prometheus.log') },
    args: [
      ...[`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'prometheus')}`],
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    ...{ isReady: async () => (await fetch(`${url}/-/ready`)).ok, readyWithinMs: 60_000 },
  });
  return { url, look, stop: () => server.stop() };
}

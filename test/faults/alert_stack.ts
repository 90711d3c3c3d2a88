import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import { parse, stringify } from 'yaml';
import { assetPath } from '#kernel/project_root';
import { freePort, type ManagedProcess, startProcess } from '#scripts/services/managed_process';

// The repository's Prometheus and Alertmanager, with shorter times and with somebody here who is told.

/** A message that somebody got. */
export interface Told {
  /** Which way it came: /webhook, /slack, /sns, or mail. */
  readonly by: string;
  readonly text: string;
  readonly atMs: number;
}

export interface AlertStack {
  readonly told: readonly Told[];
  readonly prometheusUrl: string;
  readonly alertmanagerUrl: string;
  /** Messages of an alert with this status, by any way. */
  toldOf(alert: string, status: 'firing' | 'resolved'): readonly Told[];
  query(
    expr: string,
  ): Promise<readonly { readonly metric: Readonly<Record<string, string>>; readonly value: number }[]>;
  targets(): Promise<readonly { readonly job: string; readonly health: string }[]>;
  stop(): Promise<void>;
}

export const EVALUATION_MS = 4_000;
/** What rules look back over, shortened: five minutes become ten seconds. */
const SHORTER: Readonly<Record<string, string>> = {
  '5m': '10s',
  '10m': '15s',
  '15m': '20s',
  '30m': '15s',
  '1h': '20s',
  '6h': '30s',
};

/** @param jobs - addresses of the platform's roles, by the job's name */
export async function startAlertStack(folder: string, jobs: Readonly<Record<string, string>>): Promise<AlertStack> {
  const told: Told[] = [];
  const sink = await listen(told);
  const mail = await listenForMail(told);
  const [alertmanagerPort, prometheusPort] = [await freePort(), await freePort()];
  const alertmanager = await startAlertmanager(folder, alertmanagerPort, sink, mail);
  const prometheus = await startPrometheus(folder, prometheusPort, alertmanagerPort, jobs);
  const url = `http://127.0.0.1:${prometheusPort}`;
  const ask = async (path: string): Promise<never> => {
    const answer = (await (await fetch(`${url}${path}`)).json()) as { data: never; error?: string };
    if (answer.error !== undefined) throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  return {
    told,
    prometheusUrl: url,
    alertmanagerUrl: `http://127.0.0.1:${alertmanagerPort}`,
    toldOf: (alert, status) => told.filter(({ text }) => text.includes(alert) && text.toLowerCase().includes(status)),
    async query(expr) {
      const { result } = (await ask(`/api/v1/query?query=${encodeURIComponent(expr)}`)) as {
        result: { metric: Record<string, string>; value: [number, string] }[];
      };
      return result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
    },
    async targets() {
      const { activeTargets } = (await ask('/api/v1/targets')) as {
        activeTargets: { labels: { job: string }; health: string }[];
      };
      return activeTargets.map(({ labels: { job }, health }) => ({ job, health }));
    },
    async stop() {
      await prometheus.stop();
      await alertmanager.stop();
      await new Promise((resolve) => sink.close(resolve));
      await new Promise<void>((resolve) => mail.close(() => resolve()));
    },
  };
}

/** Takes what webhooks, chats and SNS are sent. */
async function listen(told: Told[]): Promise<Server> {
  const sink = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      told.push({ by: (request.url ?? '').replace(/\/$/, ''), text: decodeForm(text), atMs: Date.now() });
      response.setHeader('content-type', 'text/xml');
      response.end(
        request.url === '/sns/'
          ? '<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>'
          : 'ok',
      );
    });
  });
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  return sink;
}

/** A form's fields as text; anything else as it is. */
const decodeForm = (text: string): string =>
  text.startsWith('Action=') ? decodeURIComponent(text.replaceAll('+', ' ')) : text;

async function listenForMail(told: Told[]): Promise<SMTPServer> {
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, _session, done) {
      let text = '';
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
      });
      stream.on('end', () => {
        told.push({ by: 'mail', text, atMs: Date.now() });
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const portOf = (server: Server | SMTPServer): number =>
  ((server instanceof SMTPServer ? server.server : server).address() as AddressInfo).port;

interface Routes {
  readonly global: Record<string, unknown>;
  readonly route: { group_wait: string; group_interval: string };
  readonly receivers: readonly {
    readonly sns_configs?: Record<string, unknown>[];
    readonly webhook_configs?: Record<string, unknown>[];
  }[];
  templates: string[];
}

/** The repository's routes and receivers: only where they lead, and how long they wait, is another. */
async function startAlertmanager(
  folder: string,
  port: number,
  sink: Server,
  mail: SMTPServer,
): Promise<ManagedProcess> {
  const home = join(folder, 'alertmanager');
  mkdirSync(home);
  const at = `http://127.0.0.1:${portOf(sink)}`;
  writeFileSync(join(home, 'slack_url'), `${at}/slack`);
  const routes = parse(readFileSync(assetPath('monitoring/alertmanager/alertmanager.yml'), 'utf8')) as Routes;
  const { smtp_auth_username: _, smtp_auth_password_file: __, ...kept } = routes.global;
  Object.assign(routes, {
    global: {
      ...kept,
      ...{ smtp_smarthost: `127.0.0.1:${portOf(mail)}`, smtp_require_tls: false },
      slack_api_url_file: join(home, 'slack_url'),
    },
    templates: [assetPath('monitoring/alertmanager/templates/*.tmpl')],
  });
  Object.assign(routes.route, { group_wait: '1s', group_interval: '1s' });
  for (const { sns_configs: messages = [], webhook_configs: hooks = [] } of routes.receivers) {
    for (const hook of hooks) hook.url = `${at}/webhook`;
    for (const message of messages) {
      message.api_url = `${at}/sns`;
      message.sigv4 = { region: 'eu-central-1', access_key: 'test', secret_key: 'test' };
    }
  }
  const file = join(home, 'alertmanager.yml');
  writeFileSync(file, stringify(routes));
  return startProcess({
    ...{ name: 'Alertmanager', command: '/usr/bin/prometheus-alertmanager', logFile: join(home, 'log') },
    args: [
      ...[`--config.file=${file}`, `--storage.path=${join(home, 'data')}`, '--cluster.listen-address='],
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok,
    readyWithinMs: 20_000,
  });
}

async function startPrometheus(
  folder: string,
  port: number,
  alertmanagerPort: number,
  jobs: Readonly<Record<string, string>>,
): Promise<ManagedProcess> {
  const home = join(folder, 'prometheus');
  cpSync(assetPath('monitoring/prometheus'), home, { recursive: true });
  for (const name of readdirSync(join(home, 'rules'))) {
    const path = join(home, 'rules', name);
    const text = readFileSync(path, 'utf8')
      .replace(/\[(\d+[mh])\]/g, (_, range: string) => `[${SHORTER[range]}]`)
      .replace(/for: \d+m/g, 'for: 2s');
    writeFileSync(path, text);
  }
  const config = parse(readFileSync(join(home, 'prometheus.yml'), 'utf8')) as {
    scrape_configs: { job_name: string }[];
  };
  const seconds = EVALUATION_MS / 1_000;
  const scrapes = config.scrape_configs
    .filter(({ job_name: job }) => jobs[job] !== undefined)
    .map(({ job_name: job }) => ({
      job_name: job,
      static_configs: [{ targets: [new URL(jobs[job] as string).host] }],
    }));
  const file = join(home, 'prometheus.yml');
  writeFileSync(
    file,
    stringify({
      ...config,
      global: { scrape_interval: '1s', evaluation_interval: `${seconds}s` },
      alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertmanagerPort}`] }] }] },
      scrape_configs: scrapes,
    }),
  );
  return startProcess({
    ...{ name: 'Prometheus', command: '/usr/bin/prometheus', logFile: join(home, 'log'), cwd: home },
    args: [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(home, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok,
    readyWithinMs: 20_000,
  });
}

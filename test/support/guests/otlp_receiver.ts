import { type ChildProcess, spawn } from 'node:child_process';
import { once as onceEmitted } from 'node:events';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, once, run } from '#scripts/services/install';
import type { OtlpMetric } from '../metric_samples.ts';

const VERSION = '1.45.2';
const FOLDER = join(cacheFolder, `otlp-receiver-${VERSION}`);

/** What one instance has sent last. */
export interface Received {
  readonly resource: Readonly<Record<string, string>>;
  readonly scopeMetrics: readonly { readonly metrics: readonly OtlpMetric[] }[];
}

/** A receiver of metrics that decodes them with `opentelemetry-proto` of PyPI. */
export class OtlpReceiver {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(): Promise<OtlpReceiver> {
    await once(FOLDER, 'installing messages of OpenTelemetry for Python', async () => {
      await run('python3', ['-m', 'venv', FOLDER]);
      await run(join(FOLDER, 'bin', 'pip'), ['install', '-q', `opentelemetry-proto==${VERSION}`]);
    });
    const program = assetPath('test/support/guests/otlp_receiver.py');
    const child = spawn(join(FOLDER, 'bin', 'python'), [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [port] = (await onceEmitted(child.stdout, 'data')) as [Buffer];
    return new OtlpReceiver(child, `http://127.0.0.1:${String(port).trim()}/v1/metrics`);
  }

  async received(): Promise<readonly Received[]> {
    return (await (await fetch(this.url)).json()) as readonly Received[];
  }

  async stop(): Promise<void> {
    const ended = onceEmitted(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }
}

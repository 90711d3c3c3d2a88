import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, once, run } from '#scripts/services/install';

/** Clients of other languages that read and write beside the platform. */
const PACKAGES = ['confluent-kafka==2.16.1', 'aiokafka==0.14.0', 'fastavro==1.13.1', 'cramjam==2.14.0'];
const FOLDER = join(cacheFolder, 'kafka-guests-2.16.1');

async function python(): Promise<string> {
  await once(FOLDER, 'installing Python clients of Kafka', async () => {
    await run('python3', ['-m', 'venv', FOLDER]);
    await run(join(FOLDER, 'bin', 'pip'), ['install', '-q', ...PACKAGES]);
  });
  return join(FOLDER, 'bin', 'python');
}

/** Runs one command of kafka_guest.py. @throws with what Python has said when it fails */
export async function askGuest<T>(command: { readonly do: string } & Readonly<Record<string, unknown>>): Promise<T> {
  const child = spawn(await python(), [assetPath('test/support/guests/kafka_guest.py')], { stdio: 'pipe' });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  child.stdin.end(JSON.stringify(command));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${command.do} ended with code ${code}: ${errors.slice(-3_000)}`);
  return JSON.parse(output) as T;
}

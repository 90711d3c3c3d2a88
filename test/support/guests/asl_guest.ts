import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { JsonValue } from '#kernel/json';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, once, run } from '#scripts/services/install';
import type { AslCase } from './asl_corpus.ts';

const FOLDER = join(cacheFolder, 'moto-stepfunctions-5.2.5');

/** How a document ended: `status` as Step Functions names it. */
export interface AslOutcome {
  readonly status: string;
  readonly output?: JsonValue;
  readonly error?: string;
  readonly cause?: string;
}

/** Runs documents in moto, an interpreter of the language that others wrote. */
export async function interpretedByMoto(cases: readonly AslCase[]): Promise<Readonly<Record<string, AslOutcome>>> {
  await once(FOLDER, 'installing moto', async () => {
    await run('python3', ['-m', 'venv', FOLDER]);
    await run(join(FOLDER, 'bin', 'pip'), ['install', '-q', 'moto[awslambda,stepfunctions]==5.2.5']);
  });
  const child = spawn(join(FOLDER, 'bin', 'python'), [assetPath('test/support/guests/asl_oracle.py')], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // For boto3; they open nothing.
    env: { ...process.env, AWS_ACCESS_KEY_ID: 'none', AWS_SECRET_ACCESS_KEY: 'none' },
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  child.stdin.end(JSON.stringify(cases));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`moto ended with code ${code}: ${errors.slice(-3_000)}`);
  return JSON.parse(output) as Readonly<Record<string, AslOutcome>>;
}

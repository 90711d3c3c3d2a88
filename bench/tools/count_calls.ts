import { Session } from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '#kernel/project_root';

// Loaded before a process whose calls are counted: `start` begins, `take` answers with the files of the platform that executed a function since.

const session = new Session();
session.connect();
await session.post('Profiler.enable');
const built = `${projectRoot}dist/`;

const take = async () => (await session.post('Profiler.takePreciseCoverage')).result;

process.on('message', (message) => {
  void answer(message === 'start').then((files) => process.send?.(files));
});
process.channel?.unref();

async function answer(starts: boolean): Promise<readonly string[]> {
  if (starts) {
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    await take();
    return [];
  }
  const scripts = await take();
  await session.post('Profiler.stopPreciseCoverage');
  return scripts
    .filter(({ url, functions }) => url.startsWith('file:') && functions.some(wasCalled))
    .map(({ url }) => fileURLToPath(url))
    .filter((path) => path.startsWith(built))
    .map((path) => path.slice(built.length))
    .sort();
}

function wasCalled({
  functionName,
  ranges,
}: {
  readonly functionName: string;
  readonly ranges: readonly { readonly count: number }[];
}): boolean {
  return functionName !== '' && (ranges[0]?.count ?? 0) > 0;
}

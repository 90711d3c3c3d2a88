import { writeFile } from 'node:fs/promises';
import { assetPath } from '#kernel/project_root';
import { compileKernel, KERNELS } from './kernels.ts';

// npm run kernels: loops in WebAssembly, compiled from AssemblyScript into modules that hold them.
for (const kernel of KERNELS) {
  await writeFile(assetPath(kernel.to), await compileKernel(kernel));
  process.stdout.write(`${kernel.to}\n`);
}

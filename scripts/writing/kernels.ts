import { readFile } from 'node:fs/promises';
import asc from 'assemblyscript/asc';
import { assetPath } from '#kernel/project_root';

interface Kernel {
  readonly from: string;
  readonly to: string;
  /** What the module that holds it exports. */
  readonly name: string;
}

export const KERNELS: readonly Kernel[] = [
  { from: 'serving/models/kernels/row_scan.ts', to: 'serving/models/kernels/row_scan_wasm.ts', name: 'ROW_SCAN_WASM' },
  { from: 'serving/models/kernels/row_text.ts', to: 'serving/models/kernels/row_text_wasm.ts', name: 'ROW_TEXT_WASM' },
  {
    from: 'serving/models/kernels/tree_walk.ts',
    to: 'serving/models/kernels/tree_walk_wasm.ts',
    name: 'TREE_WALK_WASM',
  },
];

const BASE64_A_LINE = 120;

/** @returns a module of TypeScript that exports the compiled kernel as base64: bundlers take it along, nothing is read at run time */
export async function compileKernel({ from, name }: Kernel): Promise<string> {
  const source = await readFile(assetPath(from), 'utf8');
  let wasm: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    ['kernel.ts', '--outFile', 'kernel.wasm', '-O3', '--runtime', 'stub', '--noAssert', '--importMemory'],
    {
      readFile: (file) => (file === 'kernel.ts' ? source : null),
      writeFile: (_, contents) => {
        wasm = contents as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || wasm === undefined) throw new Error(`${from}: ${stderr.toString()}`, { cause: error });
  const base64 = Buffer.from(wasm).toString('base64');
  const lines = base64.match(new RegExp(`.{1,${BASE64_A_LINE}}`, 'g')) ?? [];
  return [
    `// Written by npm run kernels from ${from.split('/').at(-1)}.`,
    `export const ${name} = [`,
    ...lines.map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}

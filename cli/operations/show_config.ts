import { stringify } from 'yaml';
import { hideSecretFields } from '#kernel/secrets';
import { loadProject } from '../project/project.ts';
import { print } from '../terminal/print.ts';

/** `headwater config`: the configuration as it is here, from files and environment, complete and checked; secrets are left out. */
export async function showConfig({ json }: { readonly json: boolean }): Promise<void> {
  const { catalog: _, models: __, extensions: ___, ...config } = await loadProject();
  const shown = hideSecretFields(config, '(set)');
  print(json ? JSON.stringify(shown) : stringify(shown, { lineWidth: 0 }).trimEnd());
}

import { stringify } from 'yaml';
import { hideSecretFields } from '#kernel/secrets';
import { loadPlatformConfig } from '../project/platform_config.ts';
import { print } from '../terminal/print.ts';

/** `headwater config`: the configuration as it is here, from files and environment, complete and checked; secrets are left out. */
export function showConfig({ json }: { readonly json: boolean }): void {
  const shown = hideSecretFields(loadPlatformConfig(process.env), '(set)');
  print(json ? JSON.stringify(shown) : stringify(shown, { lineWidth: 0 }).trimEnd());
}

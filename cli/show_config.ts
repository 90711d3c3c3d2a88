import { stringify } from 'yaml';
import { loadPlatformConfig } from './platform_config.ts';
import { print } from './print.ts';

/** Keys whose values nobody is shown. */
const SECRET = /password|secret|token|apikeys|^key$/i;

/** `headwater config`: the configuration as it is here, from files and environment, complete and checked; secrets are left out. */
export function showConfig({ json }: { readonly json: boolean }): void {
  const shown = withoutSecrets(loadPlatformConfig(process.env));
  print(json ? JSON.stringify(shown) : stringify(shown, { lineWidth: 0 }).trimEnd());
}

function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      SECRET.test(key) && item !== undefined && !(Array.isArray(item) && item.length === 0)
        ? '(set)'
        : withoutSecrets(item),
    ]),
  );
}

import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** Returns a component whose code is loaded when it is first shown. */
export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | undefined;
  return function Lazy(props: Props) {
    const [found, setFound] = useState<{ readonly of: ComponentType<Props> } | undefined>(
      loaded === undefined ? undefined : { of: loaded },
    );
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (found !== undefined) return;
      load().then(
        (of) => {
          loaded = of;
          setFound({ of });
        },
        () => setFailed(true),
      );
    }, []);
    if (failed) return <p class="bad">This part could not be loaded: the platform was updated. Load the page again.</p>;
    if (found === undefined) return <p class="quiet">asking…</p>;
    const { of: Component } = found;
    return <Component {...props} />;
  };
}

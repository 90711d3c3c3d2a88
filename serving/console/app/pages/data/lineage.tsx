import type { Lineage as Answer } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { lazy } from '../../lazy.tsx';
import { Loaded } from '../../parts.tsx';

const Flow = lazy<{ readonly of: Answer; readonly label: string }>(async () => (await import('../../graph.tsx')).Flow);

/** From the topic to the models that answer, as one graph. */
export function Lineage() {
  const asked = useAsked<Answer>('/console/api/lineage');
  return (
    <>
      <p class="quiet">
        From topics over sources, views and services to versions of models in Staging and Production. A box opens its
        page.
      </p>
      <Loaded asked={asked}>{(of) => <Flow of={of} label="Lineage from topics to models" />}</Loaded>
    </>
  );
}

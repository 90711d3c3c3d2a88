import type { Consumer } from '../../../answers.ts';
import { number, Table } from '../../parts.tsx';
import { linkTo } from '../../router.ts';

const DAY_S = 86_400;

export function Consumers({ of }: { readonly of: readonly Consumer[] }) {
  return (
    <>
      <h2>Who reads it</h2>
      <Table
        caption="Versions in Staging and Production that have it as an input; reads are rows that each has answered in a day"
        rows={of}
        keyOf={({ model, version }) => `${model} ${version}`}
        empty="No version of a model in Staging or Production reads it."
        columns={[
          { title: 'Model', of: ({ model }) => <a href={linkTo(['models', model])}>{model}</a> },
          {
            title: 'Version',
            of: ({ model, version }) => <a href={linkTo(['models', model, version])}>{version}</a>,
            isNumber: true,
          },
          { title: 'Stage', of: ({ stage }) => stage },
          { title: 'Reads in a day', of: ({ reads }) => number(reads), isNumber: true },
          { title: 'A second', of: ({ reads }) => number(reads / DAY_S), isNumber: true },
        ]}
      />
    </>
  );
}

import type { ServiceDetails } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Facts, Loaded, Table } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';
import { Consumers } from './consumers.tsx';

/** Feature services, or one with its columns and who reads it. */
export function Services({ parts: [service] }: Place) {
  return service === undefined ? <List /> : <Service id={service} />;
}

function List() {
  const asked = useAsked<{ readonly services: readonly ServiceDetails[] }>('/console/api/services');
  return (
    <Loaded asked={asked}>
      {({ services }) => (
        <Table
          caption="Features that models take together"
          rows={services}
          keyOf={({ service }) => service}
          empty="The project defines no feature service: each view is one, under its own name."
          columns={[
            { title: 'Service', of: ({ service }) => <a href={linkTo(['services', service])}>{service}</a> },
            { title: 'Entity', of: ({ entity }) => entity },
            { title: 'Owner', of: ({ owner }) => owner },
            { title: 'Description', of: ({ description }) => description },
          ]}
        />
      )}
    </Loaded>
  );
}

function Service({ id }: { readonly id: string }) {
  const asked = useAsked<ServiceDetails>(`/console/api/services/${encodeURIComponent(id)}`);
  return (
    <Loaded asked={asked}>
      {({ entity, owner, description, columns, request, consumers }) => (
        <>
          <p>{description}</p>
          <Facts
            of={[
              ['Entity', entity],
              ['Owner', owner],
              ['From the request', request.map(({ name, type }) => `${name} (${type})`).join(', ')],
            ]}
          />
          <Table
            caption={`${columns.length} columns`}
            rows={columns}
            keyOf={({ name }) => name}
            columns={[
              { title: 'Column', of: ({ name, view }) => <a href={linkTo(['views', view, name])}>{name}</a> },
              { title: 'Type', of: ({ type }) => type },
              { title: 'View', of: ({ view }) => <a href={linkTo(['views', view])}>{view}</a> },
            ]}
          />
          <Consumers of={consumers} />
        </>
      )}
    </Loaded>
  );
}

import { Counter, type Registry } from '../metrics.ts';

/** Requests of all services of a process, by service, route and status, since the metrics were last read. */
type Counts = Map<string, Map<string, Map<number, number>>>;

const countsOf = new WeakMap<Registry, Counts>();

/** Requests without a route. */
const NO_ROUTE = 'none';

/**
 * Counts answers in `http_requests_total`: added up here and told when metrics are read, which keeps it out of the way of requests.
 *
 * @param service - whose routes they are
 */
export function countRequests(
  registry: Registry,
  service: string,
): (route: string | undefined, status: number) => void {
  const routes = new Map<string, Map<number, number>>();
  countsIn(registry).set(service, routes);
  return (route = NO_ROUTE, status) => {
    let statuses = routes.get(route);
    if (statuses === undefined) {
      statuses = new Map();
      routes.set(route, statuses);
    }
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  };
}

function countsIn(registry: Registry): Counts {
  const existing = countsOf.get(registry);
  if (existing !== undefined) return existing;
  const counts: Counts = new Map();
  countsOf.set(registry, counts);
  new Counter({
    name: 'http_requests_total',
    help: 'Requests answered',
    labelNames: ['service', 'route', 'status'],
    registers: [registry],
    collect() {
      for (const [service, routes] of counts) {
        for (const [route, statuses] of routes) {
          for (const [status, times] of statuses) this.inc({ service, route, status: String(status) }, times);
          statuses.clear();
        }
      }
    },
  });
  return counts;
}

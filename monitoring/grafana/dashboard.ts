import type { JsonObject } from '#kernel/json';

// Grafana's dashboards (schema version 39), in short.

/** What a panel's values are: Grafana's name of the unit. */
export type Unit = 'short' | 's' | 'ms' | 'percentunit' | 'reqps' | 'eps' | 'bytes' | 'ops';

export interface Query {
  /** PromQL. */
  readonly expr: string;
  /** Of a series, with labels in braces: `{{model}}`. */
  readonly legend: string;
  /** Nothing to show is well: a panel of what goes wrong. */
  readonly mayBeEmpty?: true;
}

export interface Panel {
  readonly title: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  readonly kind?: 'timeseries' | 'stat' | 'table';
  /** From there on it is yellow, then red. */
  readonly thresholds?: readonly [warning: number, critical: number];
  readonly description?: string;
  /** Adds series up to a whole. */
  readonly isStacked?: boolean;
}

export interface Dashboard {
  /** Of its address: `headwater-overview`. */
  readonly uid: string;
  readonly title: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}

const WIDTH = 24;
const PANELS_A_ROW = 3;
const HEIGHT = 8;
const DATASOURCE = { type: 'prometheus', uid: 'prometheus' };

/** What Grafana is given: three panels beside each other, row by row. */
export function grafanaJson({ uid, title, rows }: Dashboard): JsonObject {
  const panels: JsonObject[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      gridPos: { x: 0, y, w: WIDTH, h: 1 },
      panels: [],
    });
    y += 1;
    for (const [index, panel] of row.panels.entries()) {
      const w = WIDTH / PANELS_A_ROW;
      const gridPos = { x: (index % PANELS_A_ROW) * w, y: y + Math.floor(index / PANELS_A_ROW) * HEIGHT, w, h: HEIGHT };
      panels.push(panelJson(panel, panels.length + 1, gridPos));
    }
    y += Math.ceil(row.panels.length / PANELS_A_ROW) * HEIGHT;
  }
  return {
    ...{ uid, title, tags: ['headwater'], schemaVersion: 39, version: 1, editable: false, graphTooltip: 1 },
    ...{ time: { from: 'now-3h', to: 'now' }, refresh: '15s', timezone: 'browser' },
    templating: { list: [] },
    annotations: { list: [alertAnnotation] },
    panels,
  };
}

/** Where alerts began to fire. */
const alertAnnotation = {
  ...{ name: 'alerts', enable: true, iconColor: 'red', datasource: DATASOURCE },
  ...{ expr: 'ALERTS{alertstate="firing"}', titleFormat: '{{alertname}}' },
};

function panelJson(panel: Panel, id: number, gridPos: JsonObject): JsonObject {
  const { title, unit, queries, kind = 'timeseries', thresholds, description, isStacked = false } = panel;
  const steps = [
    { color: 'green', value: null },
    ...(thresholds === undefined
      ? []
      : [
          { color: 'yellow', value: thresholds[0] },
          { color: 'red', value: thresholds[1] },
        ]),
  ];
  return {
    ...{ id, type: kind, title, gridPos, datasource: DATASOURCE },
    ...(description === undefined ? {} : { description }),
    fieldConfig: {
      defaults: {
        ...{ unit, min: 0, thresholds: { mode: 'absolute', steps } },
        custom: {
          ...(isStacked ? { stacking: { mode: 'normal' }, fillOpacity: 30 } : { fillOpacity: 5 }),
          ...(thresholds === undefined || kind !== 'timeseries' ? {} : { thresholdsStyle: { mode: 'line' } }),
        },
      },
      overrides: [],
    },
    options:
      kind === 'timeseries' ? { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } } : {},
    targets: queries.map(({ expr, legend }, index) => ({
      ...{ refId: String.fromCharCode(65 + index), datasource: DATASOURCE, expr, legendFormat: legend },
      ...(kind === 'timeseries' ? {} : { instant: true }),
      ...(kind === 'table' ? { format: 'table' } : {}),
    })),
  };
}

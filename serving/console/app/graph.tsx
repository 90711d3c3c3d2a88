import { Graph, layout } from '@dagrejs/dagre';
import { useMemo } from 'preact/hooks';
import type { Lineage } from '../answers.ts';

const BOX = { width: 190, height: 34 };
const LONGEST = 25;

/** Boxes from left to right, with a line for each that follows from another; boxes are links. */
export function Flow({ of, label }: { readonly of: Lineage; readonly label: string }) {
  const drawn = useMemo(() => {
    const graph = new Graph();
    graph.setGraph({ rankdir: 'LR', nodesep: 14, ranksep: 56, marginx: 4, marginy: 4 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const { id } of of.nodes) graph.setNode(id, { ...BOX });
    for (const [from, to] of of.edges) graph.setEdge(from, to);
    layout(graph);
    return graph;
  }, [of]);
  const { width = 0, height = 0 } = drawn.graph() as { width?: number; height?: number };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached without a mouse
    <section class="wide" tabIndex={0} aria-label={label}>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset has no place here */}
      <svg class="graph" width={Math.ceil(width)} height={Math.ceil(height)} role="group" aria-label={label}>
        {of.edges.map(([from, to]) => {
          const { points } = drawn.edge(from, to) as { points: readonly { x: number; y: number }[] };
          return <path key={`${from}>${to}`} d={smooth(points)} />;
        })}
        {of.nodes.map(({ id, kind, label: text, link }) => {
          const { x, y } = drawn.node(id) as { x: number; y: number };
          return (
            <a key={id} href={`#/${link}`} class={`node ${kind}`} aria-label={`${kind} ${text}`}>
              <rect x={x - BOX.width / 2} y={y - BOX.height / 2} width={BOX.width} height={BOX.height} rx="5" />
              <text class="kind" x={x - BOX.width / 2 + 9} y={y - 4}>
                {kind}
              </text>
              <text x={x - BOX.width / 2 + 9} y={y + 10}>
                {text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text}
              </text>
            </a>
          );
        })}
      </svg>
    </section>
  );
}

/** A curve through the middles of a line's parts. */
function smooth(points: readonly { readonly x: number; readonly y: number }[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return '';
  const parts = rest.map((point, index) => {
    const next = rest[index + 1];
    if (next === undefined) return `L ${point.x} ${point.y}`;
    return `Q ${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  });
  return `M ${first.x} ${first.y} ${parts.join(' ')}`;
}

/** What each column of the traffic is about, where it is what has raised the score. */
export const CAUSES: Readonly<Record<string, string>> = {
  distinct_port_10m: 'many_ports',
  distinct_peer_10m: 'many_peers',
  flows_10m: 'many_flows',
  log_bytes: 'much_data',
  log_largest: 'large_flows',
};

/** Returns the cause of an alarm: of the column that has added the most to the score. */
export function causeOf(contributions: Readonly<Record<string, number | null>>): string {
  const [column = ''] = Object.entries(contributions).sort(([, a], [, b]) => (b ?? 0) - (a ?? 0))[0] ?? [];
  return CAUSES[column] ?? 'unknown';
}

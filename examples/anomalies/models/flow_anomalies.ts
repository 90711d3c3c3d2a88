import { defineModel } from 'headwater';
import { hostTraffic } from '../features/flows.ts';

/** How unusual a host's traffic is. */
export const flowAnomalies = defineModel({
  name: 'flow_anomalies',
  service: hostTraffic,
  labels: { each: 'row' },
  training: {
    trainer: 'isolation_forest',
    columns: ['flows_10m', 'distinct_port_10m', 'distinct_peer_10m', 'log_bytes', 'log_largest'],
    // A tree of the usual 256 rows seldom sees the edge of what is usual, and how much it finds then depends on chance:
    // over the 24 hours at which the last day may end, 5 to 10 attacks of 12; with 4,096 rows 10 to 12.
    params: { max_samples: 4_096, contamination: 0.001 },
  },
  // A forest learns what is usual: when that moves, its alarms mean something else.
  monitoring: { minRows: 100 },
});

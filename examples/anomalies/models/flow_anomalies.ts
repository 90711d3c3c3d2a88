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
    params: { contamination: 0.002 },
  },
  // A forest learns what is usual: when that moves, its alarms mean something else.
  monitoring: { minRows: 100 },
});

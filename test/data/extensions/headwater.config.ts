import { defineConfig } from 'headwater';
import { duckdb } from './extensions/duckdb_store.ts';
import { folder } from './extensions/folder_store.ts';
import { lines } from './extensions/lines_broker.ts';
import { logistic } from './extensions/logistic_trainer.ts';
import { notes } from './extensions/notes.ts';
import { recommend, shopHook, summaries } from './extensions/routes.ts';
import { shelf } from './extensions/shelf_registry.ts';

export default defineConfig({
  plugins: { gateway: [shopHook], features: [summaries], serving: [recommend] },
  connectors: [lines],
  stores: { online: [folder], offline: [duckdb] },
  registries: [shelf],
  trainers: [logistic],
  personalData: [notes('.headwater/notes.jsonl')],
});

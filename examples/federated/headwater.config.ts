import { defineConfig } from 'headwater';

/** Federated learning: a model of rows that do not leave those who have them. */
export default defineConfig();

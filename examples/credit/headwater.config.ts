import { defineConfig } from 'headwater';

/** Credit lines: use, payments and risk. */
export default defineConfig();

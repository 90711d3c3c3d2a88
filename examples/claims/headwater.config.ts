import { defineConfig } from 'headwater';

/** Insurance claims: how unusual a claim is for its policy. */
export default defineConfig();

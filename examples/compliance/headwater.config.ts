import { defineConfig } from 'headwater';

/** Transfers of money, by rules of compliance whose alerts keep what proves them. */
export default defineConfig();

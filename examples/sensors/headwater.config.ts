import { defineConfig } from 'headwater';

/** Readings of machines: how far each is from its own normal. */
export default defineConfig();

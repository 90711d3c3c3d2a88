import { defineConfig } from 'headwater';

export default defineConfig({});

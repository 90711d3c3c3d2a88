import { defineConfig } from 'headwater';
import { segments } from './segments_route.ts';

/** A shop's customers by value: who buys how recently, how often and for how much. */
export default defineConfig({ plugins: { features: [segments] } });

import { defineConfig } from 'headwater';
import { logistic } from '../extensions/extensions/logistic_trainer.ts';

export default defineConfig({ trainers: [logistic] });

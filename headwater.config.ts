import { defineConfig } from 'headwater';

/** All examples of this repository as one project; each of them is a project of its own as well. */
export default defineConfig({
  features: ['activity', 'claims', 'credit', 'fraud', 'market', 'sensors'].map((name) => `examples/${name}/features`),
  models: ['activity', 'fraud', 'market', 'sensors'].map((name) => `examples/${name}/models`),
  pipelines: 'examples',
  scripts: 'examples/fraud/scripts',
  // This repository's folder of that name is the engine.
  workflows: [],
});

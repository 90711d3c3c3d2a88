import { projectFolder } from './find_project.ts';
import { useSourcesOf } from './load_module.ts';

// `node --import` this: a process, or a thread of a test runner, loads the TypeScript sources of the project that it is started in.
useSourcesOf(projectFolder());

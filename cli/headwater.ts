#!/usr/bin/env node
import { createProgram } from './commands/program.ts';
import { runProgram } from './terminal/run_program.ts';

await runProgram(createProgram());

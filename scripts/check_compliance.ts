import { checkCompliance } from './checking/compliance.ts';

// npm run compliance
const { controls, problems } = checkCompliance(Date.now());
for (const problem of problems) process.stdout.write(`FAIL  ${problem}\n`);
process.stdout.write(`${controls} controls, ${problems.length} problems\n`);
process.exitCode = controls > 0 && problems.length === 0 ? 0 : 1;

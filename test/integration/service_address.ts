/** Address of a real server that the test command started. @throws when it is missing: integration tests never skip */
export function serviceAddress(variable: string): string {
  const value = process.env[variable];
  if (value === undefined || value === '') {
    throw new Error(`${variable} is not set: run this through "npm run test:integration", which starts the servers`);
  }
  return value;
}

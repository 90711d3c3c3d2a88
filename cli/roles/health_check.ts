import { get } from 'node:http';
import { get as getSecurely } from 'node:https';
import { PORTS, ROLES, type Role } from '../terminal/choices.ts';

// What a container asks about itself, every few seconds: small, without the configuration. Exit code 0 when each role of ROLES is alive.

const TIMEOUT_MS = 2_000;

const named = (process.env.ROLES ?? '').split(',').map((role) => role.trim());
const roles = ROLES.filter((role) => named.includes(role));
const alive = await Promise.all((roles.length === 0 ? ROLES : roles).map(isAlive));
process.exit(alive.every(Boolean) ? 0 : 1);

async function isAlive(role: Role): Promise<boolean> {
  const { variable, usual } = PORTS[role];
  const port = Number(process.env[variable] ?? usual);
  // A certificate would be for another name.
  return (await answers(get, port)) || (await answers(getSecurely, port));
}

function answers(ask: typeof get, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path: '/health/live', timeout: TIMEOUT_MS, rejectUnauthorized: false };
    const request = ask(options, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
    request.on('timeout', () => request.destroy());
  });
}

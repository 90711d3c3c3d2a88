import { InvalidArgumentError } from '@commander-js/extra-typings';
import { ROLES, type Role } from '../terminal/choices.ts';

/** Parses roles separated by commas, and adds them to those before. */
export function rolesOf(value: string, before: readonly Role[] = []): readonly Role[] {
  const roles = value.split(',').map((name) => name.trim()) as Role[];
  const unknown = roles.filter((name) => !ROLES.includes(name));
  if (unknown.length === 0) return [...before, ...roles];
  throw new InvalidArgumentError(`${unknown.join(', ')} is not a role. Roles are ${ROLES.join(', ')}.`);
}

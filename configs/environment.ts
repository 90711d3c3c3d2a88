/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Returns the environment variables of this process. Only configs/ reads `process.env`: other code receives values, or calls this for a default. */
export const environment = (): Environment => process.env;

/** Sets a variable of this process, also for processes that it starts. */
export function setEnvironment(name: string, value: string): void {
  process.env[name] = value;
}

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Returns the environment variables of this process. Only configs/ reads `process.env`: other code receives values, or calls this for a default. */
export const environment = (): Environment => process.env;

/** A line of a command's answer. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);

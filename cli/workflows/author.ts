import { userInfo } from 'node:os';

/** Returns who calls, for the history: `--by`, or the user of this process. */
export const author = (by: string | undefined): string => by ?? userInfo().username;

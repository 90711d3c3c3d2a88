interface EndedFrame {
  readonly path: string;
  readonly parentPath: string | null;
  readonly parentStep: number | null;
  readonly step: number;
  readonly phase: 'enter' | 'wait' | 'token' | 'join';
  readonly status: 'open' | 'succeeded' | 'failed' | 'cancelled';
}

/**
 * Returns which frames of an ended run begin their states again, and which wait again for branches that do, with how many of those. Branches that
 * succeeded keep their results; branches of earlier attempts stay ended.
 */
export function redriven(frames: readonly EndedFrame[]): {
  readonly entered: readonly string[];
  readonly joined: readonly { readonly path: string; readonly pending: number }[];
} {
  const entered: string[] = [];
  const joined: { path: string; pending: number }[] = [];
  const reopen = (frame: EndedFrame): void => {
    const branches = frames.filter(
      ({ parentPath, parentStep }) => parentPath === frame.path && parentStep === frame.step,
    );
    if (frame.phase !== 'join' || branches.length === 0) {
      entered.push(frame.path);
      return;
    }
    const ended = branches.filter(({ status }) => status !== 'succeeded');
    joined.push({ path: frame.path, pending: ended.length });
    for (const branch of ended) reopen(branch);
  };
  for (const frame of frames) if (frame.parentPath === null && frame.status !== 'succeeded') reopen(frame);
  return { entered, joined };
}

/** A comment, by what is compared of it. */
export interface Comment {
  readonly language: string;
  readonly topic: string;
}

export interface MixChange {
  readonly of: keyof Comment;
  readonly value: string;
  /** Of the comments before, and of the newest. */
  readonly before: number;
  readonly now: number;
}

/** Returns shares of languages and topics that have changed by more than `most`, the largest change first. */
export function mixChanges(now: readonly Comment[], before: readonly Comment[], most: number): readonly MixChange[] {
  const share = (comments: readonly Comment[], of: keyof Comment, value: string): number =>
    comments.length === 0 ? 0 : comments.filter((each) => each[of] === value).length / comments.length;
  const changes = (['language', 'topic'] as const).flatMap((of) =>
    [...new Set([...now, ...before].map((each) => each[of]))].map(
      (value): MixChange => ({ of, value, before: share(before, of, value), now: share(now, of, value) }),
    ),
  );
  const sizeOf = (change: MixChange): number => Math.abs(change.now - change.before);
  return changes.filter((change) => sizeOf(change) > most).sort((a, b) => sizeOf(b) - sizeOf(a));
}

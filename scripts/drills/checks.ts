/** What a drill has checked, printed as it comes. */
export class Checks {
  passed = 0;
  failed = 0;

  check(text: string, holds: boolean): void {
    if (holds) this.passed += 1;
    else this.failed += 1;
    say(`${holds ? 'ok    ' : 'FAILED'} ${text}`);
  }
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

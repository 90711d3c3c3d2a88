import cliProgress from 'cli-progress';
import pc from 'picocolors';

/** One piece of long work, shown to a person. */
export interface ProgressTask {
  /** `done` out of the task's total (or just a count when no total was given), with a short remark. */
  update(done: number, remark?: string): void;
  finish(remark?: string): void;
}

/** Shows what a command is doing: bars on a terminal, plain lines (at most one a second per task) when piped. */
export interface Progress {
  /** A line that stays. */
  say(text: string): void;
  begin(title: string, total?: number): ProgressTask;
}

export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

const PLAIN_INTERVAL_MS = 1_000;

export function createProgress(stream: ProgressStream & NodeJS.WritableStream = process.stdout): Progress {
  return stream.isTTY === true ? createBars(stream) : createPlainLines(stream, Date.now);
}

/** @param now - milliseconds; a parameter for tests */
export function createPlainLines(stream: ProgressStream, now: () => number): Progress {
  return {
    say: (text) => stream.write(`${text}\n`),
    begin(title, total) {
      const startedMs = now();
      let printedMs = startedMs;
      const of = total === undefined ? '' : ` of ${total.toLocaleString('en')}`;
      stream.write(`- ${title}\n`);
      return {
        update(done, remark) {
          if (now() - printedMs < PLAIN_INTERVAL_MS) return;
          printedMs = now();
          const facts = [
            `${done.toLocaleString('en')}${of}`,
            ...paceOf(done, total, now() - startedMs),
            ...listOf(remark),
          ];
          stream.write(`  ${title}: ${facts.join(', ')}\n`);
        },
        finish(remark) {
          const seconds = ((now() - startedMs) / 1_000).toFixed(1);
          stream.write(`  done in ${seconds} s${remark === undefined ? '' : `: ${remark}`}\n`);
        },
      };
    },
  };
}

const listOf = (remark: string | undefined): readonly string[] => (remark === undefined ? [] : [remark]);

/** A rate of less time says little. */
const LEAST_MS = 500;

/** Returns the rate, and with a total the time that the rest takes at it: `1,200/s`, `40 s left`. */
export function paceOf(done: number, total: number | undefined, elapsedMs: number): readonly string[] {
  if (done <= 0 || elapsedMs < LEAST_MS) return [];
  const perSecond = (done * 1_000) / elapsedMs;
  const shown = perSecond >= 10 ? Math.round(perSecond) : Number(perSecond.toPrecision(2));
  const rate = `${shown.toLocaleString('en')}/s`;
  if (total === undefined || done >= total) return [rate];
  return [rate, `${lengthOf((total - done) / perSecond)} left`];
}

function lengthOf(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function createBars(stream: NodeJS.WritableStream): Progress {
  return {
    say: (text) => stream.write(`${text}\n`),
    begin(title, total) {
      const startedMs = Date.now();
      const bar = new cliProgress.SingleBar(
        {
          format: `${pc.cyan('{bar}')} ${title} ${total === undefined ? '{done}' : '{done}/{total}'} {remark}`,
          barsize: 24,
          hideCursor: true,
          clearOnComplete: true,
          stream,
        },
        cliProgress.Presets.shades_classic,
      );
      bar.start(total ?? 1, 0, { done: '0', remark: '' });
      return {
        update(done, remark) {
          const facts = [...paceOf(done, total, Date.now() - startedMs), ...listOf(remark)];
          bar.update(total === undefined ? 0 : done, { done: done.toLocaleString('en'), remark: facts.join(', ') });
        },
        finish(remark) {
          bar.stop();
          const seconds = ((Date.now() - startedMs) / 1_000).toFixed(1);
          stream.write(
            `${pc.green('✓')} ${title} ${pc.dim(`${seconds} s${remark === undefined ? '' : `, ${remark}`}`)}\n`,
          );
        },
      };
    },
  };
}

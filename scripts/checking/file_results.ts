import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { projectRoot } from '#kernel/project_root';

const SLOWEST = 10;
/** Of a failure's message, in the summary. */
const LINES_OF_A_MESSAGE = 12;
/** More than these are not the machine's fault: they are not run again. */
const MOST_FILES_AGAIN = 5;

/** What a test file did in one run. */
export interface FileResult {
  /** From the root of the repository. */
  readonly path: string;
  readonly passed: number;
  /** A file that could not be loaded counts as one. */
  readonly failed: number;
  readonly seconds: number;
  readonly failures: readonly { readonly test: string; readonly message: string }[];
}

interface JestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly startTime: number;
    readonly endTime: number;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/**
 * Reads what Jest wrote with `--json`.
 *
 * @throws Error when the file is missing or is no JSON: Jest ended before its report
 */
export async function readFileResults(report: string): Promise<FileResult[]> {
  const { testResults } = JSON.parse(await readFile(report, 'utf8')) as JestReport;
  return testResults.map(({ name, status, message, startTime, endTime, assertionResults }) => {
    const failures = assertionResults
      .filter((each) => each.status === 'failed')
      .map(({ fullName, failureMessages }) => ({ test: fullName, message: failureMessages.join('\n') }));
    if (status === 'failed' && failures.length === 0) failures.push({ test: 'the file itself', message });
    return {
      path: relative(projectRoot, name),
      passed: assertionResults.filter((each) => each.status === 'passed').length,
      failed: failures.length,
      seconds: (endTime - startTime) / 1_000,
      failures,
    };
  });
}

/** Keeps the results of all stages: how long each file took, what failed, and what passed only when it was run again. */
export class FileResults {
  readonly #all: FileResult[] = [];
  readonly #passedAgain: FileResult[] = [];

  /** Returns the files of `results` to run again, alone: those that failed, when they are few. */
  static toRunAgain(results: readonly FileResult[]): string[] {
    const failed = results.filter((each) => each.failed > 0).map((each) => each.path);
    return failed.length > MOST_FILES_AGAIN ? [] : failed;
  }

  /** Adds the results of a stage; `again` are those of its failed files when they were run a second time, which count instead. */
  add(results: readonly FileResult[], again: readonly FileResult[] = []): { passed: number; failed: number } {
    const second = new Map(again.map((each) => [each.path, each]));
    const counts = { passed: 0, failed: 0 };
    for (const first of results) {
      const last = second.get(first.path) ?? first;
      if (last !== first && last.failed === 0) this.#passedAgain.push(first);
      this.#all.push({ ...last, seconds: first.seconds });
      counts.passed += last.passed;
      counts.failed += last.failed;
    }
    return counts;
  }

  /** Returns the slowest files, the slowest first, and below them each failure with its message, as lines to print. */
  summary(): string {
    const slowest = this.#all.toSorted((one, other) => other.seconds - one.seconds).slice(0, SLOWEST);
    return [
      'slowest files:',
      ...slowest.map(({ path, seconds }) => `${seconds.toFixed(0).padStart(6)} s  ${path}`),
      ...failuresOf('passed only when it was run again, alone', this.#passedAgain),
      ...failuresOf(
        'failed',
        this.#all.filter((each) => each.failed > 0),
      ),
    ].join('\n');
  }
}

function failuresOf(what: string, results: readonly FileResult[]): string[] {
  return results.flatMap(({ path, failures }) =>
    failures.flatMap(({ test, message }) => [
      '',
      `${what}: ${path}: ${test}`,
      ...message
        .split('\n')
        .slice(0, LINES_OF_A_MESSAGE)
        .map((line) => `    ${line}`),
    ]),
  );
}

import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { assetPath } from '#kernel/project_root';
import type { Component } from './component.ts';

const OPENS_WITHIN_MS = 120_000;
const ENDS_WITHIN_MS = 60_000;

/** A process that writes to a component, and what it has acknowledged so far. */
export class JobProcess {
  readonly accepted: string[] = [];
  /** Refusals with their codes, and errors without a name. */
  readonly refusals: string[] = [];
  readonly unnamed: string[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #isOpen = false;
  #line = '';

  constructor(component: Component, folder: string, prefix: string, pauseMs = 0) {
    const script = assetPath('dist/scripts/chaos/platform/component_job.js');
    this.#child = spawn(process.execPath, [script, component.name, folder, prefix, String(pauseMs)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', NODE_NO_WARNINGS: '1' },
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#read(chunk.toString()));
    let errors = '';
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => {
        if (errors !== '') this.unnamed.push(errors.slice(0, 500));
        resolve();
      });
    });
  }

  #read(chunk: string): void {
    const lines = (this.#line + chunk).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'open') this.#isOpen = true;
      else if (line.startsWith('accepted ')) this.accepted.push(...line.slice('accepted '.length).split(' '));
      else if (/^(not accepted )?refused /.test(line)) this.refusals.push(line);
      else if (line !== 'closed') this.unnamed.push(line);
    }
  }

  /** Resolves when it has opened the component, or has ended. */
  async opened(): Promise<boolean> {
    const giveUpAt = Date.now() + OPENS_WITHIN_MS;
    while (!this.#isOpen && this.#child.exitCode === null && this.#child.signalCode === null) {
      if (Date.now() > giveUpAt) throw new Error(`the process of a round did not open its component: ${this.unnamed}`);
      await sleep(5);
    }
    return this.#isOpen;
  }

  /** Resolves when so many ids are accepted. */
  async hasAccepted(count: number, withinMs = ENDS_WITHIN_MS): Promise<void> {
    for (const giveUpAt = Date.now() + withinMs; this.accepted.length < count && this.#child.exitCode === null; ) {
      if (Date.now() > giveUpAt)
        throw new Error(`${this.accepted.length} ids were accepted within ${withinMs} ms, not ${count}`);
      await sleep(5);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const timer = setTimeout(() => {
      this.unnamed.push(`it did not end within ${ENDS_WITHIN_MS} ms of ${signal}`);
      this.#child.kill('SIGKILL');
    }, ENDS_WITHIN_MS);
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    await this.#ended;
    clearTimeout(timer);
  }
}

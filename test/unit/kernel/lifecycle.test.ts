import { expect, test } from '@jest/globals';
import { withinDeadline } from '#kernel/deadline';
import { type Service, startAll } from '#kernel/lifecycle';

function recorded(log: string[], name: string, failing = false): Service {
  return {
    name,
    async start() {
      log.push(`start ${name}`);
      if (failing) throw new Error(`${name} is broken`);
    },
    async drain() {
      log.push(`drain ${name}`);
    },
    async stop() {
      log.push(`stop ${name}`);
    },
  };
}

const signal = new AbortController().signal;

test('starts in order; drains and stops in reverse', async () => {
  const log: string[] = [];
  const running = await startAll([recorded(log, 'a'), recorded(log, 'b')], signal);
  await running.drain(signal);
  await running[Symbol.asyncDispose]();
  expect(log).toEqual(['start a', 'start b', 'drain b', 'drain a', 'stop b', 'stop a']);
});

test('a failed start stops what was opened, the failed one included, and throws', async () => {
  const log: string[] = [];
  const services = [recorded(log, 'a'), recorded(log, 'b', true), recorded(log, 'c')];
  await expect(startAll(services, signal)).rejects.toThrow('b is broken');
  expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a']);
});

test('what does not stop is named', async () => {
  const services = [recorded([], 'a'), { ...recorded([], 'b'), stop: () => new Promise<void>(() => {}) }];
  const running = await startAll([...services, recorded([], 'c')], signal);
  const stopping = running[Symbol.asyncDispose]();
  await expect(withinDeadline('stopping', 20, stopping)).rejects.toMatchObject({ code: 'KERNEL_DEADLINE_EXCEEDED' });
  expect(running.running).toEqual(['a', 'b']);
});

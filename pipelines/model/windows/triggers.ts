import { InvalidPipelineError } from '#pipelines/engine/errors';
import { shown } from '#pipelines/engine/time/check_time';
import type { Trigger } from '#pipelines/engine/windowing/trigger';
import * as runnerApi from '#pipelines/proto/beam_runner_api';

type TriggerProto = ReturnType<typeof runnerApi.Trigger.create>;

/** Fires at the end of the window; before it as `early` says, after it as `late` says, each over and over. */
export const afterWatermark = (firings: { readonly early?: Trigger; readonly late?: Trigger } = {}): Trigger => ({
  kind: 'afterEndOfWindow',
  ...firings,
});
/** Fires once there are `count` elements in the pane. */
export const afterCount = (count: number): Trigger => ({ kind: 'afterCount', count });
/** Fires `delaySeconds` of processing time after the first element of the pane. */
export const afterProcessingTime = (delaySeconds: number): Trigger => ({
  kind: 'afterProcessingTime',
  delayMs: Math.round(delaySeconds * 1_000),
});
/** Starts again each time it has fired. */
export const repeatedly = (trigger: Trigger): Trigger => ({ kind: 'repeatedly', trigger });
/** Fires as `trigger` says, until `until` fires: then once more, and never again. */
export const orFinally = (trigger: Trigger, until: Trigger): Trigger => ({ kind: 'orFinally', trigger, until });
/** Fires as its triggers do, one after the other. */
export const afterEach = (...triggers: readonly Trigger[]): Trigger => ({ kind: 'afterEach', triggers });
/** Fires once all would have fired. */
export const afterAll = (...triggers: readonly Trigger[]): Trigger => ({ kind: 'afterAll', triggers });
/** Fires as soon as one fires. */
export const afterAny = (...triggers: readonly Trigger[]): Trigger => ({ kind: 'afterAny', triggers });
/** Fires at the end of the window, then for each late element. */
export const defaultTrigger: Trigger = { kind: 'default' };
/** Fires for every element. */
export const always: Trigger = { kind: 'always' };
/** Fires only when the window expires. */
export const never: Trigger = { kind: 'never' };

/** @throws {@link InvalidPipelineError} for a count below 1, a delay that is none, and a composite of nothing */
export function checkTrigger(trigger: Trigger): void {
  switch (trigger.kind) {
    case 'afterCount':
      if (Number.isSafeInteger(trigger.count) && trigger.count >= 1 && trigger.count < 2 ** 31) return;
      throw new InvalidPipelineError(`afterCount(${shown(trigger.count)}): give an integer from 1 on`);
    case 'afterProcessingTime':
      if (Number.isSafeInteger(trigger.delayMs) && trigger.delayMs >= 0) return;
      throw new InvalidPipelineError(`afterProcessingTime has a delay of ${shown(trigger.delayMs)} ms: give 0 or more`);
    case 'repeatedly':
      checkTrigger(trigger.trigger);
      return;
    case 'orFinally':
      checkTrigger(trigger.trigger);
      checkTrigger(trigger.until);
      return;
    case 'afterEach':
    case 'afterAll':
    case 'afterAny':
      if (trigger.triggers.length === 0) {
        throw new InvalidPipelineError(`${trigger.kind} has no triggers: give it one at least`);
      }
      for (const part of trigger.triggers) checkTrigger(part);
      return;
    case 'afterEndOfWindow':
      if (trigger.early !== undefined) checkTrigger(trigger.early);
      if (trigger.late !== undefined) checkTrigger(trigger.late);
      return;
    default:
  }
}

/** Whether a trigger can finish while its window still takes elements; those that come then would be dropped (Beam's Trigger.mayFinish). */
export function mayFinish(trigger: Trigger): boolean {
  switch (trigger.kind) {
    case 'default':
    case 'always':
    case 'repeatedly':
      return false;
    case 'afterEndOfWindow':
      return trigger.late === undefined;
    case 'afterEach':
      return trigger.triggers.every(mayFinish);
    default:
      return true;
  }
}

/** A trigger as its functions are called, for messages. */
export function triggerText(trigger: Trigger): string {
  switch (trigger.kind) {
    case 'default':
      return 'defaultTrigger';
    case 'afterCount':
      return `afterCount(${trigger.count})`;
    case 'afterProcessingTime':
      return `afterProcessingTime(${trigger.delayMs / 1_000})`;
    case 'repeatedly':
      return `repeatedly(${triggerText(trigger.trigger)})`;
    case 'orFinally':
      return `orFinally(${triggerText(trigger.trigger)}, ${triggerText(trigger.until)})`;
    case 'afterEach':
    case 'afterAll':
    case 'afterAny':
      return `${trigger.kind}(${trigger.triggers.map(triggerText).join(', ')})`;
    case 'afterEndOfWindow': {
      const parts = (['early', 'late'] as const).flatMap((name) => {
        const part = trigger[name];
        return part === undefined ? [] : [`${name}: ${triggerText(part)}`];
      });
      return parts.length === 0 ? 'afterWatermark()' : `afterWatermark({ ${parts.join(', ')} })`;
    }
    default:
      return trigger.kind;
  }
}

/**
 * What a trigger becomes behind a grouping: panes come as the first trigger lets them, and are passed on without waiting again.
 * Source: Apache Beam, "continuation triggers".
 */
export function continuationOf(trigger: Trigger): Trigger {
  switch (trigger.kind) {
    case 'afterCount':
      return { kind: 'afterCount', count: 1 };
    case 'afterProcessingTime':
      return { kind: 'afterProcessingTime', delayMs: 0 };
    case 'repeatedly':
      return { kind: 'repeatedly', trigger: continuationOf(trigger.trigger) };
    case 'orFinally':
      return {
        kind: 'repeatedly',
        trigger: { kind: 'orFinally', trigger: continuationOf(trigger.trigger), until: continuationOf(trigger.until) },
      };
    case 'afterEach':
      return { kind: 'repeatedly', trigger: { kind: 'afterAny', triggers: trigger.triggers.map(continuationOf) } };
    case 'afterAll':
    case 'afterAny':
      return { kind: trigger.kind, triggers: trigger.triggers.map(continuationOf) };
    case 'afterEndOfWindow': {
      const { early, late } = trigger;
      return {
        kind: 'afterEndOfWindow',
        ...(early === undefined ? {} : { early: continuationOf(early) }),
        ...(late === undefined ? {} : { late: continuationOf(late) }),
      };
    }
    default:
      return trigger;
  }
}

/** Whether a trigger fires by how many elements there are: then they must not be combined before they are counted. */
export function countsElements(trigger: Trigger): boolean {
  switch (trigger.kind) {
    case 'afterCount':
    case 'always':
      return true;
    case 'repeatedly':
      return countsElements(trigger.trigger);
    case 'orFinally':
      return countsElements(trigger.trigger) || countsElements(trigger.until);
    case 'afterEach':
    case 'afterAll':
    case 'afterAny':
      return trigger.triggers.some(countsElements);
    case 'afterEndOfWindow':
      return [trigger.early, trigger.late].some((part) => part !== undefined && countsElements(part));
    default:
      return false;
  }
}

export function triggerToProto(trigger: Trigger): TriggerProto {
  const { Trigger: message } = runnerApi;
  switch (trigger.kind) {
    case 'default':
      return message.create({ trigger: { oneofKind: 'default', default: {} } });
    case 'always':
      return message.create({ trigger: { oneofKind: 'always', always: {} } });
    case 'never':
      return message.create({ trigger: { oneofKind: 'never', never: {} } });
    case 'afterEndOfWindow': {
      const { early, late } = trigger;
      return message.create({
        trigger: {
          oneofKind: 'afterEndOfWindow',
          afterEndOfWindow: {
            ...(early === undefined ? {} : { earlyFirings: triggerToProto(early) }),
            ...(late === undefined ? {} : { lateFirings: triggerToProto(late) }),
          },
        },
      });
    }
    case 'afterCount':
      return message.create({ trigger: { oneofKind: 'elementCount', elementCount: { elementCount: trigger.count } } });
    case 'afterProcessingTime': {
      const delay = { oneofKind: 'delay' as const, delay: { delayMillis: BigInt(trigger.delayMs) } };
      return message.create({
        trigger: {
          oneofKind: 'afterProcessingTime',
          afterProcessingTime: { timestampTransforms: [{ timestampTransform: delay }] },
        },
      });
    }
    case 'repeatedly':
      return message.create({
        trigger: { oneofKind: 'repeat', repeat: { subtrigger: triggerToProto(trigger.trigger) } },
      });
    case 'orFinally':
      return message.create({
        trigger: {
          oneofKind: 'orFinally',
          orFinally: { main: triggerToProto(trigger.trigger), finally: triggerToProto(trigger.until) },
        },
      });
    case 'afterEach':
      return message.create({ trigger: { oneofKind: 'afterEach', afterEach: parts(trigger.triggers) } });
    case 'afterAll':
      return message.create({ trigger: { oneofKind: 'afterAll', afterAll: parts(trigger.triggers) } });
    case 'afterAny':
      return message.create({ trigger: { oneofKind: 'afterAny', afterAny: parts(trigger.triggers) } });
  }
}

const parts = (triggers: readonly Trigger[]): { subtriggers: TriggerProto[] } => ({
  subtriggers: triggers.map(triggerToProto),
});

/** @throws {@link InvalidPipelineError} for a trigger that processing-time alignment or an unknown kind makes impossible */
export function triggerFromProto(proto: TriggerProto | undefined): Trigger {
  const spec = proto?.trigger;
  switch (spec?.oneofKind) {
    case undefined:
    case 'default':
      return { kind: 'default' };
    case 'always':
      return { kind: 'always' };
    case 'never':
      return { kind: 'never' };
    case 'afterEndOfWindow': {
      const { earlyFirings, lateFirings } = spec.afterEndOfWindow;
      return {
        kind: 'afterEndOfWindow',
        ...(earlyFirings === undefined ? {} : { early: triggerFromProto(earlyFirings) }),
        ...(lateFirings === undefined ? {} : { late: triggerFromProto(lateFirings) }),
      };
    }
    case 'elementCount':
      return { kind: 'afterCount', count: spec.elementCount.elementCount };
    case 'afterProcessingTime': {
      let delayMs = 0;
      for (const { timestampTransform } of spec.afterProcessingTime.timestampTransforms) {
        if (timestampTransform.oneofKind !== 'delay') {
          throw new InvalidPipelineError('a processing-time trigger aligned to a period cannot run here: use a delay');
        }
        delayMs += Number(timestampTransform.delay.delayMillis);
      }
      return { kind: 'afterProcessingTime', delayMs };
    }
    case 'afterSynchronizedProcessingTime':
      return { kind: 'afterProcessingTime', delayMs: 0 };
    case 'repeat':
      return { kind: 'repeatedly', trigger: triggerFromProto(spec.repeat.subtrigger) };
    case 'orFinally':
      return {
        kind: 'orFinally',
        trigger: triggerFromProto(spec.orFinally.main),
        until: triggerFromProto(spec.orFinally.finally),
      };
    case 'afterEach':
      return { kind: 'afterEach', triggers: spec.afterEach.subtriggers.map(triggerFromProto) };
    case 'afterAll':
      return { kind: 'afterAll', triggers: spec.afterAll.subtriggers.map(triggerFromProto) };
    case 'afterAny':
      return { kind: 'afterAny', triggers: spec.afterAny.subtriggers.map(triggerFromProto) };
  }
}

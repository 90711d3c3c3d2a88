import type { TestStreamEvent } from '#pipelines/engine/plan';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { ByteReader, ByteWriter } from './coders/bytes.ts';
import { BytesCoder } from './coders/standard_coders.ts';
import { ValueCoder } from './coders/value_coder.ts';
import { toWireMillis } from './coders/wire_time.ts';
import { registerFunction } from './function_table.ts';
import type { PCollection, PipelineRoot, PTransform } from './pcollection.ts';
import { Collection, coderId, named, parDo, primitive } from './transforms.ts';
import * as urns from './urns.ts';

type EventProto = ReturnType<typeof runnerApi.TestStreamPayload_Event.create>;

/** A scripted source as a graph holds it: of bytes, which every runner can keep, and then of what they stand for. */
export function testStreamTransform<T>(
  events: readonly TestStreamEvent[],
  name: string,
): PTransform<PipelineRoot, PCollection<T>> {
  return named(name, (root: PipelineRoot) =>
    root
      .apply(scriptOfBytes(events.map(withBytes)))
      .apply(
        parDo<Uint8Array, T>(
          { process: (bytes, context) => context.output(valueCoder.decode(new ByteReader(bytes)) as T) },
          { name: 'Decode' },
        ),
      ),
  );
}

const valueCoder = new ValueCoder();

function withBytes(event: TestStreamEvent): TestStreamEvent {
  if (event.kind !== 'elements') return event;
  return {
    kind: 'elements',
    elements: event.elements.map(({ value, timestamp }) => {
      const out = new ByteWriter();
      valueCoder.encode(value, out);
      return { value: out.finish(), timestamp };
    }),
  };
}

function scriptOfBytes(events: readonly TestStreamEvent[]): PTransform<PipelineRoot, PCollection<Uint8Array>> {
  return primitive('Script', (_, pipeline, proto) => {
    const coder = new BytesCoder();
    registerFunction(pipeline, proto.uniqueName, events);
    proto.spec = runnerApi.FunctionSpec.create({
      urn: urns.TEST_STREAM,
      payload: runnerApi.TestStreamPayload.toBinary(
        runnerApi.TestStreamPayload.create({ coderId: coderId(pipeline, coder), events: events.map(eventProto) }),
      ),
    });
    proto.environmentId = '';
    const { UNBOUNDED } = runnerApi.IsBounded_Enum;
    return new Collection<Uint8Array>(pipeline, pipeline.addCollection(coder, undefined, UNBOUNDED));
  });
}

function eventProto(event: TestStreamEvent): EventProto {
  const { TestStreamPayload_Event: message } = runnerApi;
  switch (event.kind) {
    case 'elements':
      return message.create({
        event: {
          oneofKind: 'elementEvent',
          elementEvent: {
            tag: '',
            elements: event.elements.map(({ value, timestamp }) => ({
              encodedElement: value as Uint8Array,
              timestamp: toWireMillis(timestamp),
            })),
          },
        },
      });
    case 'watermark':
      return message.create({
        event: { oneofKind: 'watermarkEvent', watermarkEvent: { newWatermark: toWireMillis(event.to), tag: '' } },
      });
    case 'processingTime':
      return message.create({
        event: {
          oneofKind: 'processingTimeEvent',
          processingTimeEvent: { advanceDuration: BigInt(event.advanceMs) },
        },
      });
  }
}

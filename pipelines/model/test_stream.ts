import type { TestStreamEvent } from '#pipelines/engine/plan';
import { runnerApi } from './beam.ts';
import { ByteWriter } from './coders/bytes.ts';
import { ValueCoder } from './coders/value_coder.ts';
import { toWireMillis } from './coders/wire_time.ts';
import { registerFunction } from './function_table.ts';
import type { PCollection, PipelineRoot, PTransform } from './pcollection.ts';
import { coderId, primitive } from './transforms.ts';
import * as urns from './urns.ts';

type EventProto = ReturnType<typeof runnerApi.TestStreamPayload_Event.create>;

/** A scripted source as a graph holds it. */
export function testStreamTransform<T>(
  events: readonly TestStreamEvent[],
  name: string,
): PTransform<PipelineRoot, PCollection<T>> {
  return primitive(name, (_, pipeline, proto) => {
    const coder = new ValueCoder();
    registerFunction(pipeline, proto.uniqueName, events);
    proto.spec = runnerApi.FunctionSpec.create({
      urn: urns.TEST_STREAM,
      payload: runnerApi.TestStreamPayload.toBinary(
        runnerApi.TestStreamPayload.create({
          coderId: coderId(pipeline, coder),
          events: events.map((event) => eventProto(coder, event)),
        }),
      ),
    });
    proto.environmentId = '';
    const { UNBOUNDED } = runnerApi.IsBounded_Enum;
    return pipeline.createPCollectionInternal(coder as never, undefined, UNBOUNDED) as unknown as PCollection<T>;
  });
}

function eventProto(coder: ValueCoder, event: TestStreamEvent): EventProto {
  const { TestStreamPayload_Event: message } = runnerApi;
  switch (event.kind) {
    case 'elements':
      return message.create({
        event: {
          oneofKind: 'elementEvent',
          elementEvent: {
            tag: '',
            elements: event.elements.map(({ value, timestamp }) => {
              const out = new ByteWriter();
              coder.encode(value, out);
              return { encodedElement: out.finish(), timestamp: toWireMillis(timestamp) };
            }),
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

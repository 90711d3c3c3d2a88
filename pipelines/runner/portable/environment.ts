import type { EnvironmentProto } from '#pipelines/model/graph';
import * as runnerApi from '#pipelines/proto/beam_runner_api';

/** What this SDK's workers understand; runners choose coders and protocols by it. */
export const CAPABILITIES: readonly string[] = [
  'beam:coder:bytes:v1',
  'beam:coder:bool:v1',
  'beam:coder:string_utf8:v1',
  'beam:coder:kv:v1',
  'beam:coder:varint:v1',
  'beam:coder:double:v1',
  'beam:coder:iterable:v1',
  'beam:coder:timer:v1',
  'beam:coder:length_prefix:v1',
  'beam:coder:global_window:v1',
  'beam:coder:interval_window:v1',
  'beam:coder:custom_window:v1',
  'beam:coder:windowed_value:v1',
  'beam:coder:param_windowed_value:v1',
  'beam:coder:row:v1',
  'beam:coder:sharded_key:v1',
  'beam:coder:nullable:v1',
  'beam:protocol:progress_reporting:v1',
  'beam:protocol:control_request_elements_embedding:v1',
  'beam:protocol:state_caching:v1',
  'beam:protocol:worker_status:v1',
  'beam:transform:sdf_truncate_sized_restrictions:v1',
];

/** Workers that a pool at `address` starts when the runner asks: in the submitting process, or in a sidecar. */
export function externalEnvironment(address: string): EnvironmentProto {
  return runnerApi.Environment.create({
    urn: 'beam:env:external:v1',
    payload: runnerApi.ExternalPayload.toBinary(runnerApi.ExternalPayload.create({ endpoint: { url: address } })),
    capabilities: [...CAPABILITIES],
  });
}

/** Workers that the runner starts from a container image. */
export function dockerEnvironment(containerImage: string): EnvironmentProto {
  return runnerApi.Environment.create({
    urn: 'beam:env:docker:v1',
    payload: runnerApi.DockerPayload.toBinary({ containerImage }),
    capabilities: [...CAPABILITIES],
  });
}

/**
 * Workers that the runner starts as processes where its tasks run. Runners add arguments to the command (`--id`, `--provision_endpoint`) and take none in it: it is an executable
 * file, such as a script of one line, `exec headwater pipelines worker orders "$@"`.
 */
export function processEnvironment(command: string): EnvironmentProto {
  return runnerApi.Environment.create({
    urn: 'beam:env:process:v1',
    payload: runnerApi.ProcessPayload.toBinary(runnerApi.ProcessPayload.create({ command })),
    capabilities: [...CAPABILITIES],
  });
}

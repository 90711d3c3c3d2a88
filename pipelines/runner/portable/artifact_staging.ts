import { createReadStream } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { connect } from '#pipelines/harness/grpc_connections';
import type * as artifactApi from '#pipelines/proto/beam_artifact_api';
import * as artifactClients from '#pipelines/proto/beam_artifact_api.grpc-client';
import * as runnerApi from '#pipelines/proto/beam_runner_api';

type Response = artifactApi.ArtifactResponseWrapper;
type Request = artifactApi.ArtifactRequestWrapper;

const FILE = 'beam:artifact:type:file:v1';
const LAST: Response['response'] = {
  oneofKind: 'getArtifactResponse',
  getArtifactResponse: { data: new Uint8Array(0) },
};

/**
 * Answers a runner's requests for the job's files until it requests no more. The end of the call is what counts: Prism ends it with
 * a status alone, without headers or messages.
 */
export function offerArtifacts(url: string, stagingToken: string): Promise<void> {
  const client = connect(artifactClients.ArtifactStagingServiceClient, url);
  const call = client.reverseArtifactRetrievalService();
  const send = (response: Response['response'], isLast = false): void => {
    call.write({ stagingToken, isLast, response });
  };
  return new Promise<void>((resolve, reject) => {
    call.on('data', ({ request }: Request) => {
      if (request.oneofKind === 'resolveArtifact') {
        const { artifacts: replacements } = request.resolveArtifact;
        send({ oneofKind: 'resolveArtifactResponse', resolveArtifactResponse: { replacements } });
      } else if (request.oneofKind === 'getArtifact') {
        sendFile(request.getArtifact.artifact, send).catch(reject);
      }
    });
    call.on('status', ({ code, details }: grpc.StatusObject) => {
      if (code === grpc.status.OK) resolve();
      else reject(new Error(`staging files ended with ${grpc.status[code]}: ${details}`));
    });
    call.on('error', () => {});
    send({ oneofKind: undefined });
  }).finally(() => client.close());
}

type Send = (response: Response['response'], isLast?: boolean) => void;
type ArtifactInformation = ReturnType<typeof runnerApi.ArtifactInformation.create>;

async function sendFile(artifact: ArtifactInformation | undefined, send: Send): Promise<void> {
  if (artifact?.typeUrn !== FILE) throw new Error(`the runner requests an artifact of type ${artifact?.typeUrn}`);
  const { path } = runnerApi.ArtifactFilePayload.fromBinary(artifact.typePayload);
  for await (const data of createReadStream(path) as AsyncIterable<Uint8Array>) {
    send({ oneofKind: 'getArtifactResponse', getArtifactResponse: { data } });
  }
  send(LAST, true);
}

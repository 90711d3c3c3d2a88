import { createRequire } from 'node:module';
import type * as ArtifactApi from 'apache-beam/proto/beam_artifact_api';
import type * as ArtifactClients from 'apache-beam/proto/beam_artifact_api.grpc-client';
import type * as FnApi from 'apache-beam/proto/beam_fn_api';
import type * as FnClients from 'apache-beam/proto/beam_fn_api.grpc-client';
import type * as FnServers from 'apache-beam/proto/beam_fn_api.grpc-server';
import type * as JobApi from 'apache-beam/proto/beam_job_api';
import type * as JobClients from 'apache-beam/proto/beam_job_api.grpc-client';
import type * as ProvisionApi from 'apache-beam/proto/beam_provision_api';
import type * as ProvisionClients from 'apache-beam/proto/beam_provision_api.grpc-client';
import type * as ProvisionServers from 'apache-beam/proto/beam_provision_api.grpc-server';
import type * as Metrics from 'apache-beam/proto/metrics';
import './beam.ts';

/** The messages and services by which runners, jobs and workers talk (Beam's Fn API and job API). */
const require = createRequire(import.meta.url);

export const fnApi = require('apache-beam/proto/beam_fn_api') as typeof FnApi;
export const fnClients = require('apache-beam/proto/beam_fn_api.grpc-client') as typeof FnClients;
export const fnServers = require('apache-beam/proto/beam_fn_api.grpc-server') as typeof FnServers;
export const jobApi = require('apache-beam/proto/beam_job_api') as typeof JobApi;
export const jobClients = require('apache-beam/proto/beam_job_api.grpc-client') as typeof JobClients;
export const artifactApi = require('apache-beam/proto/beam_artifact_api') as typeof ArtifactApi;
export const artifactClients = require('apache-beam/proto/beam_artifact_api.grpc-client') as typeof ArtifactClients;
export const provisionApi = require('apache-beam/proto/beam_provision_api') as typeof ProvisionApi;
export const provisionServers = require('apache-beam/proto/beam_provision_api.grpc-server') as typeof ProvisionServers;
export const provisionClients = require('apache-beam/proto/beam_provision_api.grpc-client') as typeof ProvisionClients;

export type { ArtifactApi, FnApi, FnServers, JobApi, Metrics };

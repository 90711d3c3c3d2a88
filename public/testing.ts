/** `headwater/testing`: tests of a project, in memory; and contracts for what a project adds to the platform. */
export { PlatformProcess, type PlatformUrls } from '#cli/project/platform_process';
export { type BrokerTraits, brokerContract, LOG_TRAITS } from '#connectors/testing/broker_contract';
export { type PluginContractOptions, pluginContract } from '#connectors/testing/plugin_contract';
export { FeatureTest, type FeatureTestOptions } from '#feature_store/testing/feature_test';
export { OFFLINE_CONTRACT_VIEWS, offlineStoreContract } from '#feature_store/testing/offline_store_contract';
export { CONTRACT_VIEWS, onlineStoreContract } from '#feature_store/testing/online_store_contract';
export { type PersonalDataContractOptions, personalDataContract } from '#feature_store/testing/personal_data_contract';
export type { ContractCase } from '#kernel/contract';
export { Random } from '#kernel/random';
export { type BinaryMetrics, binaryMetrics } from '#kernel/statistics/binary_metrics';
export { bootstrapInterval, type Interval, quantile } from '#kernel/statistics/bootstrap';
export { type CombinerContractOptions, combinerContract } from '#pipelines/testing/combiner_contract';
export { type DoFnContractOptions, doFnContract } from '#pipelines/testing/dofn_contract';
export { registryContract } from '#registry/testing/registry_contract';
export { type TrainerContractOptions, trainerContract } from '#registry/testing/trainer_contract';
export {
  type InsightProviderContractOptions,
  insightProviderContract,
} from '#serving/testing/insight_provider_contract';

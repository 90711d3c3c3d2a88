/** `headwater/connectors`: the contract of brokers of partitioned logs, what one throws, and plugins of the gateway. */
export type {
  Broker,
  Header,
  LogRecord,
  OutgoingRecord,
  Position,
  Producer,
  ReadFrom,
  SourcePartition,
  StartAt,
  TopicSpec,
} from '#connectors/connector';
export { headersOf, keyBytesOf, lastHeaders } from '#connectors/connector';
export { type Connector, type ConnectorDeps, defineConnector } from '#connectors/define_connector';
export {
  ConnectionError,
  type HeldOffsets,
  OffsetOutOfRangeError,
  RecordRefusedError,
  RecordsRefusedError,
  RecordTooLargeError,
  TargetError,
  UnknownTopicError,
} from '#connectors/errors';
export type { FailureClass } from '#connectors/failure_class';
export type { FileSystem } from '#connectors/files/file_system';
export { createFileSystems, type FileSystemOf } from '#connectors/files/file_systems';
export type {
  GatewayPlugin,
  GatewayPluginContext,
  IngestedByPlugin,
} from '#connectors/gateway/plugin';
export type { MqttIntakeSpec, MqttMessage } from '#connectors/mqtt/config';
export { mqttIntake } from '#connectors/mqtt/mqtt_intake';
export { checkedRecords } from '#connectors/records/record_check';
export { PlatformError } from '#kernel/errors';
export type { Service } from '#kernel/lifecycle';
export { type Clock, systemClock } from '#kernel/time';
export type { Logger } from '#monitoring/log';

import type { FileSystemOf } from '#connectors/files/file_systems';
import { HistoryFiles, type HistoryReading } from '#connectors/files/history_files';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type RowLayout, unitOf } from '#feature_store/definitions/sources/row_layout';
import {
  type EventSource,
  filesOfHistory,
  type History,
  type QueryHistorySpec,
} from '#feature_store/definitions/sources/source';
import { otherDatabase } from '#feature_store/offline/other_database';
import type { QueryHistory } from '#feature_store/offline/query_history';
import type { OfflineStores } from '#feature_store/offline_stores';
import type { Clock } from '#kernel/time';
import { createRowDecoder } from '#pipelines/events/row_decoder';
import { filesCursor, type OpenCursor, type PagedHistory, pagesCursor } from './history_cursors.ts';

/** Rows of a page of a query. */
export const QUERY_PAGE = 2_000;

export interface HistoryDeps {
  readonly offline: Pick<OfflineStores, 'history'>;
  readonly clock: Clock;
  readonly views: readonly FeatureView[];
  readonly fileSystems?: FileSystemOf | undefined;
  readonly outOfOrderMs: number;
}

/** Returns what reads a history of sources in its own order. */
export function openHistory(
  history: History,
  sources: readonly EventSource[],
  { offline, clock, views, fileSystems, outOfOrderMs }: HistoryDeps,
): OpenCursor {
  const decode = createRowDecoder(sources, clock, views);
  const files = filesOfHistory(history);
  if (files !== undefined)
    return filesCursor(new HistoryFiles(fileSystems, readingOf(history, sources)), files, { decode, outOfOrderMs });
  const [{ timestampField, eventIdField: idField }] = sources as readonly [EventSource];
  const { query, database } = history as QueryHistorySpec;
  const pages = queryHistory(offline, database);
  const readPage: PagedHistory['readPage'] = (after) =>
    pages.read(query, { timestampField, idField, after, limit: QUERY_PAGE });
  return pagesCursor({ readPage, timestampField, idField, decode });
}

/** How the files of a history are read: by the layout of the source, also where other files are given. */
export function readingOf(history: History, [source]: readonly EventSource[]): HistoryReading {
  const { columns = {}, time = {} }: RowLayout = source?.history ?? history;
  const { format, zone = 'UTC' } = time;
  const field = source?.timestampField ?? 'timestamp';
  const pattern = format === undefined || unitOf(format) !== undefined ? undefined : format;
  return {
    zone,
    time: { name: columns[field] ?? field, pattern },
    sortsFiles: [history, source?.history].some(
      (each) => each !== undefined && 'files' in each && each.order === 'time',
    ),
  };
}

/** The database of a query: the offline store's, or another one. */
export const queryHistory = (offline: Pick<OfflineStores, 'history'>, database: string | undefined): QueryHistory =>
  database === undefined ? offline.history : otherDatabase(database);

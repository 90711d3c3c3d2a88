/** Which rows of a query come next: those after a time and id, in their order. */
export interface HistoryPage {
  readonly timestampField: string;
  readonly idField: string;
  readonly after: { readonly time: string; readonly id: string } | undefined;
  readonly limit: number;
}

/** Events of before, as a query of the offline database gives them. */
export interface QueryHistory {
  /** Returns rows of a query by time and id. */
  read(query: string, page: HistoryPage): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

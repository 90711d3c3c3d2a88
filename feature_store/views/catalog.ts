import { checkViews, type FeatureView } from '#feature_store/definitions/feature_view';
import type { EventSource } from '#feature_store/definitions/source';
import { fraudView } from './fraud.ts';

/** Every view the platform runs: add yours here. */
export const VIEWS: readonly FeatureView[] = [fraudView];

checkViews(VIEWS);

/** The event types the gateway takes: those some view is computed from. */
export const SOURCES: readonly EventSource[] = [...new Set(VIEWS.map((view) => view.source))];

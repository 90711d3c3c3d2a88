import { checkViews, type FeatureView } from '#feature_store/definitions/feature_view';
import type { EventSource } from '#feature_store/definitions/source';
import { fraudView } from './fraud.ts';
import { marketView } from './market.ts';
import { userActivityV1, userActivityV2 } from './user_activity.ts';

/** Every view the platform runs: add yours here. */
export const VIEWS: readonly FeatureView[] = [fraudView, userActivityV1, userActivityV2, marketView];

checkViews(VIEWS);

/** The event types the gateway takes: those some view is computed from. */
export const SOURCES: readonly EventSource[] = [...new Set(VIEWS.map((view) => view.source))];

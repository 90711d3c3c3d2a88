import type { FastifyRequest } from 'fastify';
import { hasScope } from '#connectors/http/access';
import { ForbiddenError } from '#connectors/http/errors';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';

/** Views that a caller may read, and the names of their features. */
export interface ReadableViews {
  readonly views: readonly FeatureView[];
  readonly features: ReadonlySet<string>;
}

const ACTION = 'features';

export const mayReadView = (request: FastifyRequest, view: FeatureView): boolean =>
  hasScope(request, ACTION, viewId(view));

/** @returns what a caller may read; it throws {@link ForbiddenError} for a caller that may read no view, or not the one that it names */
export function readableViews(
  views: readonly FeatureView[],
): (request: FastifyRequest, named?: string) => ReadableViews {
  const all = readableOf(views);
  return (request, named) => {
    if (hasScope(request, ACTION, '*')) return all;
    if (named !== undefined && !hasScope(request, ACTION, named)) throw new ForbiddenError(`${ACTION}:${named}`);
    const own = views.filter((view) => mayReadView(request, view));
    if (own.length === 0) throw new ForbiddenError(...views.map((view) => `${ACTION}:${viewId(view)}`));
    return readableOf(own);
  };
}

const readableOf = (views: readonly FeatureView[]): ReadableViews => ({
  views,
  features: new Set(views.flatMap((view) => Object.keys(view.features))),
});

import type { Lifecycle } from '#registry/lifecycle/lifecycle';
import type { ModelRegistry } from '#registry/model_registry';
import type { ModelVersions } from '#serving/protocol/versions';

/** Versions of the registry for routes: moved between stages through the gates, and written into the trail. */
export function modelVersionsOf(registry: ModelRegistry, lifecycle: Lifecycle): ModelVersions {
  return {
    list: (model) => registry.listVersions(model),
    move(model, version, { stage, by, reason, approvedBy }) {
      if (stage === 'Archived') return lifecycle.archive(model, version, { by, reason });
      const approval = approvedBy === undefined ? {} : { approvedBy };
      return lifecycle.promote(model, version, { by, reason, stage, ...approval });
    },
  };
}

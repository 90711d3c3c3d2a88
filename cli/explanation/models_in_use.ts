import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { Clock } from '#kernel/time';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';

/** A version in Staging or Production, with what it reads. */
export interface VersionInUse extends Pick<ModelVersion, 'name' | 'version' | 'stage'> {
  /** Of the feature service that it was trained on; undefined: of none. */
  readonly service: string | undefined;
  readonly inputs: readonly string[];
}

/** Versions are looked for anew after so long. */
const KEPT_MS = 30_000;

/** Which versions in Staging and Production have a feature as an input. Signatures, which do not change, are read once. */
export class ModelsInUse {
  readonly #registry: ModelRegistry;
  readonly #clock: Clock;
  readonly #services: ReadonlyMap<string, FeatureService>;
  readonly #signatures = new Map<string, Promise<Pick<VersionInUse, 'service' | 'inputs'>>>();
  #found: { readonly atMs: number; readonly versions: Promise<readonly VersionInUse[]> } | undefined;

  /** @param services - those that are defined, by id */
  constructor(
    { registry, clock }: { readonly registry: ModelRegistry; readonly clock: Clock },
    services: ReadonlyMap<string, FeatureService>,
  ) {
    this.#registry = registry;
    this.#clock = clock;
    this.#services = services;
  }

  /** Returns the versions that a feature of a view is an input of, as the view itself or through a service. */
  async using(view: FeatureView, feature: string): Promise<readonly VersionInUse[]> {
    const id = viewId(view);
    const isFrom = (service: string | undefined): boolean =>
      service === id ||
      (service !== undefined &&
        (this.#services.get(service)?.columns.some((column) => column.name === feature && column.view === id) ??
          false));
    return (await this.all()).filter(({ service, inputs }) => inputs.includes(feature) && isFrom(service));
  }

  /** Returns every version in Staging and Production, as of the last half minute. */
  all(): Promise<readonly VersionInUse[]> {
    const nowMs = this.#clock.now();
    if (this.#found === undefined || nowMs - this.#found.atMs > KEPT_MS) {
      const versions = this.#read();
      this.#found = { atMs: nowMs, versions };
      // A registry that is away is asked again the next time.
      versions.catch(() => {
        this.#found = undefined;
      });
    }
    return this.#found.versions;
  }

  async #read(): Promise<readonly VersionInUse[]> {
    const found: VersionInUse[] = [];
    for (const model of await this.#registry.listModels()) {
      for (const listed of await this.#registry.listVersions(model)) {
        const { name, version, stage } = listed;
        if (stage !== 'Production' && stage !== 'Staging') continue;
        found.push({ name, version, stage, ...(await this.#signature(listed)) });
      }
    }
    return found;
  }

  #signature(model: ModelVersion): Promise<Pick<VersionInUse, 'service' | 'inputs'>> {
    const id = `${model.name}/${model.version}`;
    let read = this.#signatures.get(id);
    if (read === undefined) {
      read = this.#registry.download(model).then(({ signature }) => ({
        service: signature.featureService?.service,
        inputs: signature.inputs.map(({ name }) => name),
      }));
      this.#signatures.set(id, read);
      read.catch(() => this.#signatures.delete(id));
    }
    return read;
  }
}

import type { SideInputView } from '#pipelines/engine/dofn';
import {
  materialize,
  type SideInputs,
  sideInputWindow,
  undeclaredSideInput,
} from '#pipelines/engine/operators/side_input';
import type { Window, WindowFn } from '#pipelines/engine/windowing/window';
import { ByteReader } from '#pipelines/model/coders/bytes';
import type { AnyCoder } from '#pipelines/model/coders/coder';
import type { StateStream } from '../state_stream.ts';
import { encoded } from './remote_state.ts';

export interface RemoteView {
  readonly view: SideInputView<unknown>;
  /** Name of the side input in the transform. */
  readonly sideInputId: string;
  readonly windowFn: WindowFn;
  readonly windowCoder: AnyCoder;
  readonly elementCoder: AnyCoder;
}

interface FetchedView {
  readonly values: readonly unknown[];
  made: { readonly value: unknown } | undefined;
}

/** Side inputs that a runner keeps: fetched once a bundle and window, before the first element that needs them. */
export class RemoteSideInputs implements SideInputs {
  readonly #transformId: string;
  readonly #name: string;
  readonly #views: readonly RemoteView[];
  readonly #stream: () => StateStream;
  readonly #fetched = new Map<string, FetchedView>();
  readonly #loading = new Map<string, Promise<void>>();
  #instructionId = '';

  constructor(transformId: string, name: string, views: readonly RemoteView[], stream: () => StateStream) {
    this.#transformId = transformId;
    this.#name = name;
    this.#views = views;
    this.#stream = stream;
  }

  begin(instructionId: string): void {
    this.#instructionId = instructionId;
    this.#fetched.clear();
    this.#loading.clear();
  }

  isReady(window: Window): boolean {
    return this.#views.every((view) => this.#fetched.has(slotOf(view, window)));
  }

  load(window: Window): Promise<void> {
    let loading = this.#loading.get(window.id);
    if (loading === undefined) {
      loading = Promise.all(this.#views.map((view) => this.#fetch(view, window))).then(() => {});
      this.#loading.set(window.id, loading);
    }
    return loading;
  }

  async #fetch(remote: RemoteView, mainWindow: Window): Promise<void> {
    const { sideInputId, windowCoder, elementCoder } = remote;
    const slot = slotOf(remote, mainWindow);
    if (this.#fetched.has(slot)) return;
    const window = encoded(windowCoder, sideInputWindow(remote.windowFn, mainWindow));
    const bytes = await this.#stream().get(this.#instructionId, {
      type: {
        oneofKind: 'iterableSideInput',
        iterableSideInput: { transformId: this.#transformId, sideInputId, window },
      },
    });
    const reader = new ByteReader(bytes);
    const values: unknown[] = [];
    while (!reader.isAtEnd) values.push(elementCoder.decode(reader, true));
    this.#fetched.set(slot, { values, made: undefined });
  }

  read(view: SideInputView<unknown>, mainWindow: Window): unknown {
    const remote = this.#views.find((other) => other.view === view);
    if (remote === undefined) throw undeclaredSideInput(this.#name);
    const fetched = this.#fetched.get(slotOf(remote, mainWindow)) as FetchedView;
    fetched.made ??= { value: materialize(view, fetched.values, this.#name) };
    return fetched.made.value;
  }
}

const slotOf = ({ sideInputId, windowFn }: RemoteView, mainWindow: Window): string =>
  `${sideInputId}\u0000${sideInputWindow(windowFn, mainWindow).id}`;

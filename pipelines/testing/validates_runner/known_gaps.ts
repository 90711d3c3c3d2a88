/** A case that a runner itself does not support, and the evidence of it. */
export interface KnownGap {
  readonly runner: 'prism' | 'flink';
  /** Which cases, by "feature: name". */
  readonly matches: RegExp;
  readonly because: string;
  /** What the runner's own answer must contain: a case that fails otherwise is a failure. */
  readonly evidence: RegExp;
}

/** Seen with Prism 2.77.0, and with Flink 1.19 behind Beam's job server 2.62.0. */
export const UNSUPPORTED: readonly KnownGap[] = [
  {
    runner: 'prism',
    matches: /^Session windows: exactly the gap apart/,
    because: 'Prism merges sessions that only touch; Beam’s Java SDK keeps them apart',
    evidence: /not expected \[\["ab",0,20\]\]/,
  },
  {
    runner: 'prism',
    matches: /^Custom windows: that merge/,
    because: 'Prism refuses merging window functions other than sessions',
    evidence: /unsupported feature "WindowingStrategy\.MergeStatus" set with value NEEDS_MERGE/,
  },
  {
    runner: 'prism',
    matches: /^Triggers in merging windows: (a late element|early by count)/,
    because: 'Prism refuses stateful triggers in merging windows',
    evidence: /stateful triggers with merging windows isn't currently supported/,
  },
  {
    runner: 'prism',
    matches: /^Triggers in merging windows: sessions on time/,
    because: 'Prism calls the pane of a merged session EARLY when the watermark has passed its end',
    evidence: /not expected \[\["ab","EARLY",0\]\]/,
  },
  {
    runner: 'prism',
    matches: /^Triggers: early by processing time/,
    because: 'Prism panics on a processing-time trigger beneath an early firing',
    evidence: /panic in ElementManager|assignment to entry in nil map/,
  },
  {
    runner: 'prism',
    matches: /^Processing-time timers: fire as a TestStream says/,
    because: 'Prism moves a TestStream’s processing time before the elements ahead of it have set their timers',
    evidence: /missing \[7\]/,
  },
  {
    runner: 'flink',
    matches: /^Processing-time timers after bounded input/,
    because:
      'Beam’s Flink runner drops a processing-time timer once the input watermark has passed the end of its window (StatefulDoFnRunner.onTimer), and after bounded input that is every window',
    evidence: /missing \["?([78]|tick \d|soon)/,
  },
  {
    runner: 'flink',
    matches: /^Custom windows: /,
    because: 'Beam’s Flink runner knows only the standard window functions',
    evidence: /Unknown or unsupported WindowFn: headwater:window_fn/,
  },
  {
    runner: 'flink',
    matches:
      /^(Processing-time timers: fire as a TestStream|Triggers: (early by processing|repeatedly by processing|after all|after any))/,
    because: 'Beam’s Flink runner has no TestStream that moves processing time',
    evidence: /Advancing Processing time is not supported by the Flink Runner/,
  },
];

/** Options that cases need on a runner, because of a fault of it. */
export interface Adjustment {
  readonly runner: 'prism' | 'flink';
  readonly matches: RegExp;
  readonly because: string;
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

export const ADJUSTMENTS: readonly Adjustment[] = [
  {
    runner: 'flink',
    matches: /^(Side inputs|Windowed side inputs): /,
    because:
      'run without checkpoints: Beam 2.62.0 cannot snapshot what a transform reads from the side (ClassCastException: [B cannot be cast to WindowedValue, in WindowedValue$FullWindowedValueCoder.encode)',
    options: { checkpointing_interval: -1 },
  },
];

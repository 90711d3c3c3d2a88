"""Peer of bench/engine/harness.bench.ts: count and sum by key over tumbling windows of 10 s, on a portable runner.

Usage: keyed_sum.py JOB_ENDPOINT EVENTS
"""
import sys
import time

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows, TimestampedValue

KEYS = 1_000
PARTS = 8


def events(part_and_total):
    part, total = part_and_total
    for index in range(part, total, PARTS):
        at = index - (index % 13) * 3
        yield TimestampedValue(((index * 7_919) % KEYS, index % 100), at / 1_000)


class CountAndSum(beam.CombineFn):
    def create_accumulator(self):
        return (0, 0)

    def add_input(self, sums, value):
        return (sums[0] + 1, sums[1] + value)

    def merge_accumulators(self, parts):
        parts = list(parts)
        return (sum(count for count, _ in parts), sum(total for _, total in parts))

    def extract_output(self, sums):
        return sums


def main(endpoint, total):
    options = PipelineOptions([
        '--runner=PortableRunner', f'--job_endpoint={endpoint}', '--environment_type=LOOPBACK', '--streaming',
        '--parallelism=1', '--shutdown_sources_after_idle_ms=100', '--max_bundle_time_mills=50',
    ])
    started = time.monotonic()
    with beam.Pipeline(options=options) as pipeline:
        counted = (
            pipeline
            | beam.Create([(part, total) for part in range(PARTS)])
            | beam.Reshuffle()
            | beam.FlatMap(events)
            | beam.WindowInto(FixedWindows(10))
            | beam.CombinePerKey(CountAndSum())
            | beam.Map(lambda row: row[1][0]))
        counter = beam.metrics.Metrics.counter('bench', 'events')
        _ = counted | beam.Map(counter.inc)
    print('RESULT', total / (time.monotonic() - started))


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))

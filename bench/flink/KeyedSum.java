import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.SinkFunction;
import org.apache.flink.streaming.api.functions.source.SourceFunction;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.time.Time;

/** Peer of bench/engine/engine.bench.ts: count and sum by key over tumbling windows of 10 s, parallelism 1; with a second argument, a checkpoint so often, ms, into the folder that is the third. */
public class KeyedSum {
  static final int KEYS = 1_000;
  static final int PIECE = 2_000;
  static long rows = 0;
  static long total = 0;

  static class Events implements SourceFunction<Tuple3<Integer, Long, Long>> {
    final long events;

    Events(long events) {
      this.events = events;
    }

    @Override
    public void run(SourceContext<Tuple3<Integer, Long, Long>> context) {
      for (long from = 0; from < events; from += PIECE) {
        // A checkpoint comes between two pieces.
        synchronized (context.getCheckpointLock()) {
          for (long index = from; index < Math.min(events, from + PIECE); index += 1) {
            long at = index - (index % 13) * 3;
            context.collectWithTimestamp(Tuple3.of((int) ((index * 7_919) % KEYS), index % 100, at), at);
          }
          if (from + PIECE <= events) context.emitWatermark(new Watermark(from + PIECE - 51));
        }
      }
    }

    @Override
    public void cancel() {}
  }

  static class CountAndSum
      implements AggregateFunction<Tuple3<Integer, Long, Long>, Tuple2<Long, Long>, Tuple2<Long, Long>> {
    @Override
    public Tuple2<Long, Long> createAccumulator() {
      return Tuple2.of(0L, 0L);
    }

    @Override
    public Tuple2<Long, Long> add(Tuple3<Integer, Long, Long> event, Tuple2<Long, Long> sums) {
      sums.f0 += 1;
      sums.f1 += event.f1;
      return sums;
    }

    @Override
    public Tuple2<Long, Long> getResult(Tuple2<Long, Long> sums) {
      return Tuple2.of(sums.f0, sums.f1);
    }

    @Override
    public Tuple2<Long, Long> merge(Tuple2<Long, Long> a, Tuple2<Long, Long> b) {
      return Tuple2.of(a.f0 + b.f0, a.f1 + b.f1);
    }
  }

  static class Totals implements SinkFunction<Tuple2<Long, Long>> {
    @Override
    public void invoke(Tuple2<Long, Long> row, Context context) {
      rows += 1;
      total += row.f0;
    }
  }

  public static void main(String[] args) throws Exception {
    long events = Long.parseLong(args[0]);
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, new Configuration());
    environment.getConfig().enableObjectReuse();
    if (args.length > 1) {
      environment.enableCheckpointing(Long.parseLong(args[1]));
      environment.getCheckpointConfig().setCheckpointStorage(args[2]);
    }
    environment
        .addSource(new Events(events))
        .returns(Types.TUPLE(Types.INT, Types.LONG, Types.LONG))
        .keyBy(event -> event.f0)
        .window(TumblingEventTimeWindows.of(Time.seconds(10)))
        .aggregate(new CountAndSum())
        .returns(Types.TUPLE(Types.LONG, Types.LONG))
        .addSink(new Totals());
    long started = System.nanoTime();
    environment.execute();
    double seconds = (System.nanoTime() - started) / 1e9;
    System.out.println("RESULT " + events / seconds + " " + rows + " " + total);
  }
}

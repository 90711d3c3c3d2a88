import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.SourceFunction;
import org.apache.flink.util.Collector;

/** Peer of bench/engine/state.bench.ts: a row of 100 characters a key in RocksDB, changed by each event, parallelism 1. */
public class KeyedRows {
  static final int ROW_LENGTH = 100;
  static final int DIGITS = 8;
  static final String FILL = "x".repeat(ROW_LENGTH - DIGITS);
  static volatile long loadedAt = 0;
  static long seen = 0;

  static class Indexes implements SourceFunction<Long> {
    final long until;

    Indexes(long until) {
      this.until = until;
    }

    @Override
    public void run(SourceContext<Long> context) {
      for (long index = 0; index < until; index += 1) context.collect(index);
    }

    @Override
    public void cancel() {}
  }

  static class RowPerKey extends KeyedProcessFunction<Integer, Long, Long> {
    final long keys;
    transient ValueState<String> row;

    RowPerKey(long keys) {
      this.keys = keys;
    }

    @Override
    public void open(Configuration configuration) {
      row = getRuntimeContext().getState(new ValueStateDescriptor<>("row", Types.STRING));
    }

    @Override
    public void processElement(Long index, Context context, Collector<Long> out) throws Exception {
      String before = row.value();
      int count = before == null ? 0 : Integer.parseInt(before.substring(0, DIGITS));
      String text = Integer.toString(count + 1);
      row.update("0".repeat(DIGITS - text.length()) + text + FILL);
      seen += 1;
      if (seen == keys) loadedAt = System.nanoTime();
    }
  }

  public static void main(String[] args) throws Exception {
    long keys = Long.parseLong(args[0]);
    long changes = Long.parseLong(args[1]);
    Path folder = Files.createTempDirectory("flink-rocksdb-");
    Configuration configuration = new Configuration();
    configuration.setString("state.backend.type", "rocksdb");
    configuration.setString("state.backend.rocksdb.memory.fixed-per-slot", args[2] + "mb");
    configuration.setString("state.backend.rocksdb.localdir", folder.toString());
    configuration.setString("io.tmp.dirs", folder.toString());
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
    environment.getConfig().enableObjectReuse();
    environment
        .addSource(new Indexes(keys + changes))
        .returns(Types.LONG)
        .keyBy(index -> (int) ((index * 7_919) % keys), Types.INT)
        .process(new RowPerKey(keys))
        .returns(Types.LONG)
        .addSink(new DiscardingSink<>());
    long started = System.nanoTime();
    environment.execute();
    double loading = (loadedAt - started) / 1e9;
    double changing = (System.nanoTime() - loadedAt) / 1e9;
    System.out.println("RESULT " + keys / loading + " " + changes / changing);
  }
}

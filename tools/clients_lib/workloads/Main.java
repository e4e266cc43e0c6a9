import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.Deflater;

/** Collections, threads, native buffers and zlib; prints checksums. */
public class Main {
  static String words(long seed) {
    Random random = new Random(seed);
    TreeMap<String, List<Integer>> index = new TreeMap<>();
    for (int i = 0; i < 120_000; i++) {
      index.computeIfAbsent(Integer.toString(random.nextInt(40_000), 36), k -> new ArrayList<>()).add(i);
    }
    return index.size() + " " + index.hashCode();
  }

  static String packed(long seed) {
    Random random = new Random(seed);
    CRC32 sum = new CRC32();
    byte[] out = new byte[1 << 16];
    for (int i = 0; i < 60; i++) {
      byte[] text = new BigInteger(80_000, random).toString(16).getBytes(StandardCharsets.US_ASCII);
      Deflater deflater = new Deflater(1 + i % 9);
      deflater.setInput(text);
      deflater.finish();
      while (!deflater.finished()) {
        sum.update(out, 0, deflater.deflate(out));
      }
      deflater.end();
    }
    return Long.toHexString(sum.getValue());
  }

  static String direct(long seed) {
    Random random = new Random(seed);
    long sum = 0;
    for (int i = 0; i < 400; i++) {
      ByteBuffer buffer = ByteBuffer.allocateDirect(1 + random.nextInt(30_000));
      buffer.put(buffer.capacity() - 1, (byte) i);
      sum = sum * 31 + buffer.get(buffer.capacity() - 1) + buffer.capacity();
    }
    return Long.toString(sum);
  }

  public static void main(String[] args) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(2);
    List<Future<String>> done = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      final long seed = i;
      Callable<String> work = () -> seed + " " + words(seed) + " " + packed(seed) + " " + direct(seed);
      done.add(pool.submit(work));
    }
    for (Future<String> line : done) {
      System.out.println(line.get());
    }
    pool.shutdown();
  }
}

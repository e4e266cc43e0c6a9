import java.lang.invoke.MethodHandles;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.LongUnaryOperator;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/** Loads on the collector and on what hangs off it; prints one checksum a line. */
public final class Churn {
  interface Shape {
    int sides(int more);
  }

  static long objects(long seed, int rounds) {
    Random random = new Random(seed);
    Object[][] table = new Object[5000][];
    long sum = 0;
    for (int i = 0; i < rounds; i++) {
      int slot = random.nextInt(table.length);
      if (table[slot] != null) sum = sum * 31 + table[slot].length + ((String) table[slot][0]).length();
      table[slot] = new Object[1 + random.nextInt(30)];
      table[slot][0] = "text" + i;
    }
    return sum;
  }

  /** Memory outside of the heap, some of which only the collector gives back. */
  static long buffers() {
    Random random = new Random(2);
    ByteBuffer[] table = new ByteBuffer[64];
    long sum = 0;
    for (int i = 0; i < 4000; i++) {
      int slot = random.nextInt(table.length);
      if (table[slot] != null) sum = sum * 31 + table[slot].get(table[slot].capacity() - 1);
      table[slot] = ByteBuffer.allocateDirect(1 + random.nextInt(200_000));
      table[slot].put(table[slot].capacity() - 1, (byte) i);
    }
    return sum;
  }

  static long packed() throws Exception {
    byte[] plain = new byte[300_000];
    Random random = new Random(3);
    for (int i = 0; i < plain.length; i++) plain[i] = (byte) (97 + random.nextInt(8));
    CRC32 sum = new CRC32();
    for (int turn = 0; turn < 60; turn++) {
      Deflater deflater = new Deflater(1 + turn % 9);
      deflater.setInput(plain);
      deflater.finish();
      byte[] small = new byte[plain.length];
      int size = deflater.deflate(small);
      deflater.end();
      Inflater inflater = new Inflater();
      inflater.setInput(small, 0, size);
      byte[] again = new byte[plain.length];
      inflater.inflate(again);
      inflater.end();
      sum.update(again);
    }
    return sum.getValue();
  }

  static long classes() throws Exception {
    long sum = 0;
    for (int i = 0; i < 300; i++) {
      final int number = i;
      ClassLoader loader = new ClassLoader(Churn.class.getClassLoader()) {};
      Shape shape =
          (Shape) Proxy.newProxyInstance(Churn.class.getClassLoader(), new Class<?>[] {Shape.class},
              (proxy, method, arguments) -> number + (Integer) arguments[0]);
      LongUnaryOperator made = n -> n * number + shape.sides(1);
      sum = sum * 31 + made.applyAsLong(i) + (loader.loadClass("Churn") == Churn.class ? 1 : 0);
    }
    return sum + MethodHandles.lookup().lookupModes();
  }

  static long threads() throws Exception {
    long sum = 0;
    for (int turn = 0; turn < 10; turn++) {
      ExecutorService pool = Executors.newFixedThreadPool(20);
      List<Future<Long>> parts = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        final int seed = i;
        parts.add(pool.submit(() -> objects(seed, 2000)));
      }
      for (Future<Long> part : parts) sum = sum * 31 + part.get();
      pool.shutdown();
    }
    return sum;
  }

  static int depth(int n) {
    try {
      return n > 1_000_000 ? n : depth(n + 1);
    } catch (StackOverflowError error) {
      return 0;
    }
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("objects " + objects(1, 2_000_000));
    System.out.println("buffers " + buffers());
    System.out.println("packed " + packed());
    System.out.println("classes " + classes());
    System.out.println("threads " + threads());
    System.out.println("depth " + depth(0));
  }
}

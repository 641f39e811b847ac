// AeronPeer.java: Aeron's shared-memory transport (aeron:ipc) at the jobs of ours_turns and ours_flow.
//
//   AeronPeer turns ROUNDS | flow COUNT
//
// As its samples set it up: a media driver in the same process, busy-spinning clients on two threads, messages of 64 bytes. The driver has one thread
// that sleeps for a millisecond between its turns, which on two cores is what serves the two best. turns prints nanoseconds of half a round trip, as
// the other programs do; flow prints messages a second.
import io.aeron.Aeron;
import io.aeron.Publication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import io.aeron.logbuffer.FragmentHandler;
import java.util.Arrays;
import org.agrona.BufferUtil;
import org.agrona.concurrent.SleepingMillisIdleStrategy;
import org.agrona.concurrent.UnsafeBuffer;

public final class AeronPeer {
    private static final int SIZE = 64;
    private static final int PING = 1001;
    private static final int PONG = 1002;
    private static final String CHANNEL = "aeron:ipc";

    private static void offer(Publication publication, UnsafeBuffer buffer) {
        long result;
        while ((result = publication.offer(buffer, 0, SIZE)) < 0) {
            if (result == Publication.CLOSED || result == Publication.MAX_POSITION_EXCEEDED) {
                throw new IllegalStateException("Aeron does not take the message: " + result);
            }
            Thread.onSpinWait();
        }
    }

    private static void awaitConnection(Publication publication) throws InterruptedException {
        while (!publication.isConnected()) {
            Thread.sleep(1);
        }
    }

    private static Thread answer(Aeron aeron, long rounds) {
        final Subscription pings = aeron.addSubscription(CHANNEL, PING);
        final Publication pongs = aeron.addPublication(CHANNEL, PONG);
        final UnsafeBuffer copy = new UnsafeBuffer(BufferUtil.allocateDirectAligned(SIZE, 64));
        final FragmentHandler handler = (buffer, offset, length, header) -> {
            copy.putBytes(0, buffer, offset, length);
            offer(pongs, copy);
        };
        final Thread thread = new Thread(() -> {
            long answered = 0;
            while (answered < rounds) {
                answered += pings.poll(handler, 1);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void turns(Aeron aeron, int rounds) throws InterruptedException {
        final int unmeasured = Math.max(rounds, 100_000);
        final Thread other = answer(aeron, (long)rounds + unmeasured);
        final Publication pings = aeron.addPublication(CHANNEL, PING);
        final Subscription pongs = aeron.addSubscription(CHANNEL, PONG);
        final UnsafeBuffer buffer = new UnsafeBuffer(BufferUtil.allocateDirectAligned(SIZE, 64));
        final long[] times = new long[rounds];
        final FragmentHandler handler = (received, offset, length, header) -> buffer.putBytes(0, received, offset, length);
        awaitConnection(pings);
        while (!pongs.isConnected()) {
            Thread.sleep(1);
        }
        long before = System.nanoTime();
        for (int i = 0; i < rounds + unmeasured; i++) {
            offer(pings, buffer);
            while (pongs.poll(handler, 1) == 0) {
            }
            final long now = System.nanoTime();
            if (i >= unmeasured) {
                times[i - unmeasured] = (now - before) / 2;
            }
            before = now;
        }
        other.join();
        Arrays.sort(times);
        final StringBuilder quantiles = new StringBuilder();
        for (int part = 0; part <= 1000; part += part < 990 ? 10 : 1) {
            quantiles.append(part == 0 ? "" : ", ").append("[").append(part / 1000.0).append(", ");
            quantiles.append(times[Math.min(rounds - 1, (int)(part / 1000.0 * rounds))]).append("]");
        }
        System.out.printf("{\"p50\": %d, \"p99\": %d, \"p999\": %d, \"quantiles\": [%s]}%n", times[rounds / 2], times[(int)(rounds * 0.99)],
            times[(int)(rounds * 0.999)], quantiles);
    }

    private static void flow(Aeron aeron, long count) throws InterruptedException {
        final Subscription subscription = aeron.addSubscription(CHANNEL, PING);
        final Publication publication = aeron.addPublication(CHANNEL, PING);
        final UnsafeBuffer buffer = new UnsafeBuffer(BufferUtil.allocateDirectAligned(SIZE, 64));
        final long unmeasured = Math.min(count, 1_000_000);
        final UnsafeBuffer copy = new UnsafeBuffer(BufferUtil.allocateDirectAligned(SIZE, 64));
        final FragmentHandler handler = (received, offset, length, header) -> copy.putBytes(0, received, offset, length);
        awaitConnection(publication);
        final Thread writer = new Thread(() -> {
            for (long i = 0; i < count + unmeasured; i++) {
                offer(publication, buffer);
            }
        });
        writer.setDaemon(true);
        writer.start();
        long received = 0;
        while (received < unmeasured) {
            received += subscription.poll(handler, 256);
        }
        final long begin = System.nanoTime();
        final long first = received;
        while (received < count + unmeasured) {
            received += subscription.poll(handler, 256);
        }
        System.out.printf("{\"rate\": %.0f}%n", (received - first) * 1e9 / (System.nanoTime() - begin));
        writer.join();
    }

    public static void main(String[] arguments) throws Exception {
        final String directory = "/dev/shm/shmgate-bench-aeron-" + ProcessHandle.current().pid();
        final MediaDriver.Context driver = new MediaDriver.Context().aeronDirectoryName(directory).threadingMode(ThreadingMode.SHARED)
            .sharedIdleStrategy(new SleepingMillisIdleStrategy(1)).dirDeleteOnStart(true).dirDeleteOnShutdown(true);
        try (MediaDriver ignored = MediaDriver.launchEmbedded(driver);
            Aeron aeron = Aeron.connect(new Aeron.Context().aeronDirectoryName(directory).idleStrategy(new SleepingMillisIdleStrategy(1)))) {
            final long count = Long.parseLong(arguments[1]);
            if (arguments[0].equals("turns")) {
                turns(aeron, (int)count);
            } else {
                flow(aeron, count);
            }
        }
    }
}

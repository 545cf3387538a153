import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.crypto.key.KeyProvider;
import org.apache.hadoop.crypto.key.KeyProvider.KeyVersion;
import org.apache.hadoop.crypto.key.KeyProviderCryptoExtension;
import org.apache.hadoop.crypto.key.KeyProviderCryptoExtension.EncryptedKeyVersion;
import org.apache.hadoop.crypto.key.kms.KMSClientProvider;
import org.apache.hadoop.crypto.key.kms.LoadBalancingKMSClientProvider;

/**
 * Hadoop's own client on several nodes, until standard input ends: creates, rolls, makes and opens data keys, and writes a line
 * for each call: client, kind, key, begin, end, outcome and what came out, divided by tabs.
 */
public final class Chaos {
    /* The server takes the same roll of the same user within ten seconds for a repeat. */
    private static final long BETWEEN_ROLLS_NS = 12_000_000_000L;
    private static final int KEYS = 24;
    private static final int POOL = 2000;

    private static final PrintStream OUT = System.out;
    private static final List<EncryptedKeyVersion> POOL_OF_KEYS = new CopyOnWriteArrayList<>();
    private static final List<String> MADE = new CopyOnWriteArrayList<>();
    private static volatile boolean stopping;

    private interface Call {
        String run() throws Exception;
    }

    private static void record(String client, String kind, String key, Call call) {
        long begin = System.nanoTime();
        String outcome = "ok";
        String result;

        try {
            result = call.run();
        } catch (Exception thrown) {
            outcome = "unknown";
            result = String.valueOf(thrown).replaceAll("[\\t\\n\\r]", " ");
        }
        synchronized (OUT) {
            OUT.println(String.join("\t", client, kind, key, Double.toString(begin / 1e9),
                                    Double.toString(System.nanoTime() / 1e9), outcome, result));
            OUT.flush();
        }
    }

    private static String text(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    private static String digest(byte[] bytes) throws Exception {
        StringBuilder hex = new StringBuilder();
        for (byte one : MessageDigest.getInstance("SHA-256").digest(bytes)) {
            hex.append(String.format("%02x", one));
        }
        return hex.toString();
    }

    private static String describe(EncryptedKeyVersion edek) {
        return String.join("\t", edek.getEncryptionKeyVersionName(), text(edek.getEncryptedKeyIv()),
                           text(edek.getEncryptedKeyVersion().getMaterial()));
    }

    private static void write(KeyProvider provider, Configuration conf, long seed) throws InterruptedException {
        long[] last = new long[KEYS];
        int turn = 0;

        while (!stopping) {
            int at = turn++ % KEYS;
            String key = "hadoop-" + seed + "-" + at;
            if (!MADE.contains(key)) {
                record("hadoop-writer", "create", key, () -> {
                    KeyVersion made = provider.createKey(key, KeyProvider.options(conf).setBitLength(128));
                    MADE.add(key);
                    return made.getVersionName();
                });
                last[at] = System.nanoTime();
            } else if (System.nanoTime() - last[at] > BETWEEN_ROLLS_NS) {
                record("hadoop-writer", "roll", key, () -> provider.rollNewVersion(key).getVersionName());
                last[at] = System.nanoTime();
            }
            Thread.sleep(50);
        }
    }

    private static void generate(KeyProviderCryptoExtension crypto, Random random) throws InterruptedException {
        while (!stopping) {
            if (!MADE.isEmpty()) {
                String key = MADE.get(random.nextInt(MADE.size()));
                record("hadoop-generator", "generate", key, () -> {
                    EncryptedKeyVersion edek = crypto.generateEncryptedKey(key);
                    if (POOL_OF_KEYS.size() < POOL) {
                        POOL_OF_KEYS.add(edek);
                    }
                    return describe(edek);
                });
            }
            Thread.sleep(30);
        }
    }

    private static void open(KeyProviderCryptoExtension crypto, Random random) throws InterruptedException {
        while (!stopping) {
            if (!POOL_OF_KEYS.isEmpty()) {
                EncryptedKeyVersion edek = POOL_OF_KEYS.get(random.nextInt(POOL_OF_KEYS.size()));
                record("hadoop-opener", "open", edek.getEncryptionKeyName(),
                       () -> describe(edek) + "\t" + digest(crypto.decryptEncryptedKey(edek).getMaterial()));
            }
            Thread.sleep(10);
        }
    }

    private interface Loop {
        void run() throws InterruptedException;
    }

    private static Thread start(Loop loop) {
        Thread thread = new Thread(() -> {
            try {
                loop.run();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        });
        thread.start();
        return thread;
    }

    public static void main(String[] args) throws Exception {
        Configuration conf = new Configuration();
        /* A node that stands still is left after this many seconds; the default is a minute. */
        conf.setInt("hadoop.security.kms.client.timeout", 3);
        long seed = Long.parseLong(args[0]);
        KMSClientProvider[] nodes = new KMSClientProvider[args.length - 1];
        for (int i = 0; i < nodes.length; i++) {
            nodes[i] = new KMSClientProvider(URI.create(args[i + 1]), conf);
        }
        KeyProvider provider = new LoadBalancingKMSClientProvider(URI.create(args[1]), nodes, conf);
        KeyProviderCryptoExtension crypto = KeyProviderCryptoExtension.createKeyProviderCryptoExtension(provider);
        List<Thread> threads = List.of(start(() -> write(provider, conf, seed)),
                                       start(() -> generate(crypto, new Random(seed))),
                                       start(() -> open(crypto, new Random(seed + 1))),
                                       start(() -> open(crypto, new Random(seed + 2))));
        while (System.in.read() >= 0) {
            continue;
        }
        stopping = true;
        for (Thread thread : threads) {
            thread.join();
        }
        System.exit(0);
    }
}

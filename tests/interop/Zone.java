import java.io.File;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Random;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.crypto.key.KeyProvider;
import org.apache.hadoop.crypto.key.KeyProviderFactory;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileEncryptionInfo;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.client.CreateEncryptionZoneFlag;
import org.apache.hadoop.hdfs.client.HdfsAdmin;
import org.apache.hadoop.hdfs.protocol.HdfsConstants.ReencryptAction;
import org.apache.hadoop.hdfs.protocol.ZoneReencryptionStatus;

/** HDFS itself: an encryption zone under a key of the node; write, read, roll, re-encrypt, raw bytes. */
public final class Zone {
    private static int checks;

    private static void check(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
        checks++;
    }

    private static byte[] read(DistributedFileSystem fs, Path path, int length) throws Exception {
        byte[] bytes = new byte[length];
        try (FSDataInputStream in = fs.open(path)) {
            in.readFully(0, bytes);
        }
        return bytes;
    }

    private static FileEncryptionInfo info(DistributedFileSystem fs, Path path) throws Exception {
        return fs.getClient().getFileInfo(path.toString()).getFileEncryptionInfo();
    }

    private static void awaitReencryption(HdfsAdmin admin, Path zone) throws Exception {
        for (int i = 0; i < 600; i++) {
            RemoteIterator<ZoneReencryptionStatus> all = admin.listReencryptionStatus();
            while (all.hasNext()) {
                ZoneReencryptionStatus status = all.next();
                if (status.getZoneName().equals(zone.toString())
                        && status.getState() == ZoneReencryptionStatus.State.Completed) {
                    check(status.getNumReencryptionFailures() == 0, "no failures in re-encryption");
                    return;
                }
            }
            Thread.sleep(100);
        }
        throw new AssertionError("re-encryption does not end");
    }

    public static void main(String[] args) throws Exception {
        Configuration conf = new Configuration();
        conf.set("hadoop.security.key.provider.path", args[0]);
        conf.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, new File(args[1]).getAbsolutePath());
        conf.setLong("dfs.namenode.reencrypt.sleep.interval", 1000);
        KeyProvider provider = KeyProviderFactory.getProviders(conf).get(0);
        String key = "zone-" + Long.toHexString(System.nanoTime());
        provider.createKey(key, KeyProvider.options(conf).setBitLength(256));

        MiniDFSCluster cluster = new MiniDFSCluster.Builder(conf).numDataNodes(1).build();
        try {
            cluster.waitActive();
            DistributedFileSystem fs = cluster.getFileSystem();
            HdfsAdmin admin = new HdfsAdmin(fs.getUri(), conf);
            Path zone = new Path("/zone");
            fs.mkdirs(zone);
            admin.createEncryptionZone(zone, key, EnumSet.of(CreateEncryptionZoneFlag.NO_TRASH));

            byte[] data = new byte[4 << 20];
            new Random(1).nextBytes(data);
            byte[] marker = "a line of plaintext that must not be on disk".getBytes(StandardCharsets.UTF_8);
            System.arraycopy(marker, 0, data, 1000, marker.length);
            Path file = new Path(zone, "file");
            try (OutputStream out = fs.create(file)) {
                out.write(data);
            }
            check(Arrays.equals(data, read(fs, file, data.length)), "read back");
            byte[] raw = read(fs, new Path("/.reserved/raw/zone/file"), data.length);
            check(!Arrays.equals(data, raw), "raw bytes are ciphertext");
            check(new String(raw, StandardCharsets.ISO_8859_1)
                    .indexOf(new String(marker, StandardCharsets.ISO_8859_1)) < 0, "no plaintext in raw bytes");
            check(info(fs, file).getEzKeyVersionName().equals(key + "@0"), "version of the file");

            provider.rollNewVersion(key);
            fs.getClient().getKeyProvider().invalidateCache(key);
            admin.reencryptEncryptionZone(zone, ReencryptAction.START);
            awaitReencryption(admin, zone);
            check(info(fs, file).getEzKeyVersionName().equals(key + "@1"), "re-encrypted to the new version");
            check(Arrays.equals(data, read(fs, file, data.length)), "read after re-encryption");
            check(Arrays.equals(raw, read(fs, new Path("/.reserved/raw/zone/file"), data.length)),
                  "the file itself is not touched");
        } finally {
            cluster.shutdown();
        }
        System.out.println("Zone: " + checks + " checks passed");
        System.exit(0);
    }
}

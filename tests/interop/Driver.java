import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.crypto.key.KeyProvider;
import org.apache.hadoop.crypto.key.KeyProvider.KeyVersion;
import org.apache.hadoop.crypto.key.KeyProviderCryptoExtension;
import org.apache.hadoop.crypto.key.KeyProviderCryptoExtension.EncryptedKeyVersion;
import org.apache.hadoop.crypto.key.KeyProviderFactory;
import org.apache.hadoop.crypto.key.kms.LoadBalancingKMSClientProvider;
import org.apache.hadoop.security.authorize.AuthorizationException;

/** Every call of Hadoop's own key provider against a node: one URI, and one with two host names. */
public final class Driver {
    private static int checks;

    private static void check(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
        checks++;
    }

    private interface Call {
        void run() throws Exception;
    }

    private static void fails(Class<? extends Throwable> type, String words, Call call) throws Exception {
        try {
            call.run();
        } catch (Throwable thrown) {
            for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
                if (type.isInstance(cause) && String.valueOf(cause.getMessage()).contains(words)) {
                    checks++;
                    return;
                }
            }
            throw new AssertionError("wanted " + type.getName() + " with \"" + words + "\"", thrown);
        }
        throw new AssertionError("did not fail: " + words);
    }

    private static void drive(Configuration conf, URI uri, String key) throws Exception {
        KeyProvider provider = KeyProviderFactory.get(uri, conf);
        check(provider instanceof LoadBalancingKMSClientProvider, "the provider is the load-balancing one");
        KeyProviderCryptoExtension crypto = KeyProviderCryptoExtension.createKeyProviderCryptoExtension(provider);

        check(!provider.getKeys().contains(key), "the key is new");
        check(provider.getMetadata(key) == null, "no metadata of a key that is missing");
        check(provider.getKeyVersion(key + "@0") == null, "no version of a key that is missing");
        List<KeyVersion> none = provider.getKeyVersions(key); /* empty in 3.3, null in 3.4 */
        check(none == null || none.isEmpty(), "no versions of a key that is missing");
        long before = System.currentTimeMillis();
        KeyProvider.Options options = KeyProvider.options(conf).setBitLength(256);
        options.setDescription("made by the driver");
        Map<String, String> attributes = new HashMap<>();
        attributes.put("team", "sales");
        options.setAttributes(attributes);
        KeyVersion made = provider.createKey(key, options);
        check(made.getVersionName().equals(key + "@0"), "first version is 0, got " + made.getVersionName());
        check(made.getMaterial() == null, "material does not leave");
        KeyProvider.Metadata metadata = provider.getMetadata(key);
        check(metadata.getBitLength() == 256, "length");
        check(metadata.getVersions() == 1, "one version");
        check(metadata.getCipher().equals("AES/CTR/NoPadding"), "cipher");
        check(metadata.getAlgorithm().equals("AES"), "algorithm");
        check("made by the driver".equals(metadata.getDescription()), "description");
        check("sales".equals(metadata.getAttributes().get("team")), "attribute");
        check(key.equals(metadata.getAttributes().get("key.acl.name")), "key.acl.name is added");
        check(metadata.getCreated().getTime() >= before - 5000, "creation date");
        check(provider.getKeys().contains(key), "listed");
        KeyProvider.Metadata[] many = provider.getKeysMetadata(key, "nobody", key);
        check(many.length == 3 && many[0] != null && many[1] == null && many[2] != null, "metadata in order");
        fails(IOException.class, "already exists", () -> provider.createKey(key, KeyProvider.options(conf)));
        fails(AuthorizationException.class, "GET_CURRENT_KEY", () -> provider.getCurrentKey(key));

        EncryptedKeyVersion first = crypto.generateEncryptedKey(key);
        EncryptedKeyVersion second = crypto.generateEncryptedKey(key);
        check(!Arrays.equals(first.getEncryptedKeyVersion().getMaterial(),
                             second.getEncryptedKeyVersion().getMaterial()), "data keys differ");
        byte[] dek = crypto.decryptEncryptedKey(first).getMaterial();
        check(dek.length == 32, "data key length");
        check(Arrays.equals(dek, crypto.decryptEncryptedKey(first).getMaterial()), "decrypt is repeatable");

        KeyVersion rolled = provider.rollNewVersion(key);
        check(rolled.getVersionName().equals(key + "@1"), "roll: " + rolled.getVersionName());
        provider.invalidateCache(key);
        check(crypto.generateEncryptedKey(key).getEncryptionKeyVersionName().equals(key + "@1"),
              "the very next data key has the new version");
        EncryptedKeyVersion moved = crypto.reencryptEncryptedKey(first);
        check(moved.getEncryptionKeyVersionName().equals(key + "@1"), "re-encrypted to the new version");
        check(Arrays.equals(moved.getEncryptedKeyIv(), first.getEncryptedKeyIv()), "same iv");
        check(Arrays.equals(dek, crypto.decryptEncryptedKey(moved).getMaterial()), "same data key");
        List<EncryptedKeyVersion> batch = new ArrayList<>(Arrays.asList(first, second, first, moved));
        crypto.reencryptEncryptedKeys(batch);
        for (EncryptedKeyVersion entry : batch) {
            check(entry.getEncryptionKeyVersionName().equals(key + "@1"), "batch");
        }
        check(Arrays.equals(dek, crypto.decryptEncryptedKey(batch.get(2)).getMaterial()), "batch data key");
        for (int i = 0; i < 100; i++) {
            provider.invalidateCache(key);
            check(crypto.generateEncryptedKey(key).getEncryptionKeyVersionName().equals(key + "@1"), "round " + i);
        }

        String strange = key + " %^[]{}|\"<>\\\n+";
        provider.createKey(strange, KeyProvider.options(conf));
        check(provider.getKeys().contains(strange), "a strange name is listed");
        check(crypto.decryptEncryptedKey(crypto.generateEncryptedKey(strange)).getMaterial().length == 16,
              "a strange name is used");
        provider.deleteKey(strange);

        provider.deleteKey(key);
        check(provider.getMetadata(key) == null, "deleted");
        fails(IllegalArgumentException.class, "'" + key + "@1' not found", () -> crypto.decryptEncryptedKey(moved));
        fails(IOException.class, "does not exist", () -> provider.deleteKey(key));
        provider.close();
    }

    public static void main(String[] args) throws Exception {
        Configuration conf = new Configuration();
        for (String uri : args) {
            conf.set("hadoop.security.key.provider.path", uri);
            drive(conf, URI.create(uri), "driver-" + Long.toHexString(System.nanoTime()));
        }
        System.out.println("Driver: " + checks + " checks passed");
    }
}

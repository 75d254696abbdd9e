import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;

import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.configuration.connectors.BoltConnector;
import org.neo4j.configuration.connectors.BoltConnector.EncryptionLevel;
import org.neo4j.configuration.helpers.SocketAddress;
import org.neo4j.configuration.ssl.SslPolicyConfig;
import org.neo4j.configuration.ssl.SslPolicyScope;
import org.neo4j.dbms.api.DatabaseManagementService;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;
import org.neo4j.io.ByteUnit;

/**
 * A Neo4j Community server with nothing but its Bolt port.
 *
 * <p>Arguments: {@code HOME HOST:PORT [CERTIFICATES]}. CERTIFICATES is a folder with {@code tls.key} and
 * {@code tls.crt}; with it the port takes TLS alone. Prints {@code ready} once the port answers, and runs
 * until it is killed. {@code --train HOME HOST:PORT} starts, runs a few statements and ends instead: build.sh keeps
 * the classes that were loaded by then, which halves the time of every later start.
 */
public final class Server {
    private Server() {}

    public static void main(String[] arguments) throws Exception {
        boolean trains = arguments.length > 0 && arguments[0].equals("--train");
        if (trains) {
            arguments = Arrays.copyOfRange(arguments, 1, arguments.length);
        }
        if (arguments.length < 2 || arguments.length > 3) {
            System.err.println("usage: Server [--train] HOME HOST:PORT [CERTIFICATES]");
            System.exit(2);
        }
        Path home = Path.of(arguments[0]);
        Files.createDirectories(home);
        int colon = arguments[1].lastIndexOf(':');
        SocketAddress address = new SocketAddress(
                arguments[1].substring(0, colon), Integer.parseInt(arguments[1].substring(colon + 1)));
        DatabaseManagementServiceBuilder builder = new DatabaseManagementServiceBuilder(home)
                .setConfig(BoltConnector.enabled, true)
                .setConfig(BoltConnector.listen_address, address)
                .setConfig(BoltConnector.advertised_address, address)
                .setConfig(GraphDatabaseSettings.auth_enabled, true)
                .setConfig(GraphDatabaseSettings.pagecache_memory, ByteUnit.mebiBytes(32))
                // Half a gigabyte of disk for each home otherwise.
                .setConfig(GraphDatabaseSettings.preallocate_logical_logs, false)
                // A limit of a client shows soon, so that nobody has to wait for it.
                .setConfig(GraphDatabaseSettings.transaction_monitor_check_interval, Duration.ofMillis(100));
        if (arguments.length == 3) {
            SslPolicyConfig policy = SslPolicyConfig.forScope(SslPolicyScope.BOLT);
            builder.setConfig(policy.enabled, true)
                    .setConfig(policy.base_directory, Path.of(arguments[2]).toAbsolutePath())
                    .setConfig(policy.private_key, Path.of("tls.key"))
                    .setConfig(policy.public_certificate, Path.of("tls.crt"))
                    .setConfig(BoltConnector.encryption_level, EncryptionLevel.REQUIRED);
        }
        DatabaseManagementService service = builder.build();
        if (trains) {
            train(service);
        }
        Runtime.getRuntime().addShutdownHook(new Thread(service::shutdown));
        System.out.println("ready");
        Thread.currentThread().join();
    }

    private static void train(DatabaseManagementService service) {
        service.database("system").executeTransactionally("SHOW DATABASES YIELD name, role WHERE role = 'primary'");
        service.database("neo4j").executeTransactionally("UNWIND range(1, 3) AS i RETURN count(i)");
        service.database("neo4j").executeTransactionally("CALL dbms.components() YIELD name RETURN name");
        // An orderly end takes ten seconds and changes nothing about the classes.
        Runtime.getRuntime().halt(0);
    }
}

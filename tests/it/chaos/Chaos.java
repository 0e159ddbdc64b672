// Clients of Apache Kafka that work while their brokers are killed, stopped and replaced, and print what they do and see:
// `java -cp … Chaos.java <bootstrap> <protocol of the copiers' group> <protocol of the consumers' group>`. The line `drain`
// on standard input ends the producers, `end` all others. A printed line is a time of the machine's steady clock in
// nanoseconds, who, what, and its words; `printed.rs` reads them.

import java.io.*;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

public class Chaos {
    static final int PARTITIONS = 3, INPUT = 10, OUTPUT = 20, COPIES = 1_000_000;
    static final PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false);
    static String bootstrap;
    static volatile boolean producing = true, working = true;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        var threads = new ArrayList<Thread>();
        threads.add(start("write-1", () -> write("write-1", 1)));
        for (int number : new int[] {2, 3}) {
            threads.add(start("produce-" + number, () -> produce("produce-" + number, number)));
        }
        for (int number : new int[] {4, 5}) {
            threads.add(start("copy-" + number, () -> copy("copy-" + number, number, arguments[1])));
            threads.add(start("consume-" + number, () -> consume("consume-" + number, arguments[2])));
        }
        var orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order; working && (order = orders.readLine()) != null;) {
            producing = false;
            working = !order.equals("end");
        }
        for (var thread : threads) thread.join();
        out.flush();
    }

    static Thread start(String who, Runnable work) {
        var thread = new Thread(() -> {
            try {
                work.run();
            } catch (Throwable trouble) {
                complain(who, trouble);
                // A client that ends by itself is a finding.
                Runtime.getRuntime().halt(1);
            }
        });
        thread.start();
        return thread;
    }

    static void line(String who, Object... words) {
        var text = new StringBuilder().append(System.nanoTime()).append(' ').append(who);
        for (Object word : words) text.append(' ').append(word);
        text.append('\n');
        synchronized (out) {
            out.print(text);
            out.flush();
        }
    }

    static void complain(String who, Throwable trouble) {
        System.err.println(who + ": " + trouble);
    }

    static void pause(int most) {
        try {
            Thread.sleep(ThreadLocalRandom.current().nextInt(most));
        } catch (InterruptedException never) {
            throw new AssertionError(never);
        }
    }

    static byte[] value(int of, long count, int txn) {
        return ByteBuffer.allocate(12).putInt(of).putInt((int) count).putInt(txn).array();
    }

    static String shown(byte[] value) {
        var bytes = ByteBuffer.wrap(value);
        return bytes.getInt() + " " + bytes.getInt() + " " + bytes.getInt();
    }

    static KafkaProducer<byte[], byte[]> producer(String transactionalId) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        if (transactionalId != null) {
            settings.put("transactional.id", transactionalId);
            settings.put("transaction.timeout.ms", 20_000);
        }
        settings.put("request.timeout.ms", 5_000);
        settings.put("delivery.timeout.ms", transactionalId == null ? 300_000 : 15_000);
        settings.put("max.block.ms", 20_000);
        settings.put("reconnect.backoff.max.ms", 300);
        settings.put("linger.ms", 2);
        var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        try {
            if (transactionalId != null) producer.initTransactions();
        } catch (RuntimeException trouble) {
            producer.close(Duration.ZERO);
            throw trouble;
        }
        return producer;
    }

    static KafkaConsumer<byte[], byte[]> consumer(String who, String group, String protocol) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("group.protocol", protocol);
        if (protocol.equals("classic")) {
            settings.put("session.timeout.ms", 6_000);
            settings.put("heartbeat.interval.ms", 500);
            settings.put("partition.assignment.strategy", RangeAssignor.class.getName());
        }
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", false);
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", 50);
        settings.put("request.timeout.ms", 5_000);
        settings.put("default.api.timeout.ms", 15_000);
        settings.put("reconnect.backoff.max.ms", 300);
        var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var owned = new TreeSet<Integer>();
        consumer.subscribe(List.of("input"), new ConsumerRebalanceListener() {
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                partitions.forEach(partition -> owned.remove(INPUT + partition.partition()));
            }

            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                partitions.forEach(partition -> owned.add(INPUT + partition.partition()));
                var member = consumer.groupMetadata();
                var all = owned.isEmpty() ? "-" : String.join(",", owned.stream().map(Object::toString).toList());
                // In the other protocol members of different epochs live side by side.
                if (protocol.equals("classic")) line(who, "assigned", group, member.generationId(), member.memberId(), all);
            }
        });
        return consumer;
    }

    static void send(
        KafkaProducer<byte[], byte[]> producer, String who, String topic, int partition, int of, long count, int txn
    ) {
        int place = (topic.equals("input") ? INPUT : OUTPUT) + partition;
        byte[] value = value(of, count, txn);
        line(who, "sent", place, shown(value));
        producer.send(new ProducerRecord<>(topic, partition, null, value), (stored, failed) -> {
            if (failed == null) line(who, "acked", place, shown(value), stored.offset());
        });
    }

    /// Writes outside of transactions, idempotently.
    static void write(String who, int number) {
        var random = new Random(number);
        try (var producer = producer(null)) {
            for (long count = 0; producing;) {
                for (int record = 0; record < 1 + random.nextInt(4); record++) {
                    send(producer, who, "input", random.nextInt(PARTITIONS), number, count++, 0);
                }
                pause(80);
            }
        }
    }

    static void end(KafkaProducer<byte[], byte[]> producer, String who, int txn, boolean commit) {
        line(who, "ending", txn, commit);
        if (commit) producer.commitTransaction(); else producer.abortTransaction();
        line(who, "ended", txn, commit);
    }

    /// Gets a producer out of trouble: by an abort, or by a new one in its place.
    static KafkaProducer<byte[], byte[]> recovered(
        KafkaProducer<byte[], byte[]> producer, String who, int txn, RuntimeException trouble
    ) {
        complain(who, trouble);
        if (producer == null) return null;
        try {
            end(producer, who, txn, false);
            return producer;
        } catch (RuntimeException again) {
            producer.close(Duration.ZERO);
            return null;
        }
    }

    static void produce(String who, int number) {
        var random = new Random(number);
        KafkaProducer<byte[], byte[]> producer = null;
        int txn = number * 10_000_000;
        for (long count = 0; producing; txn++) {
            try {
                if (producer == null) producer = producer(who);
                producer.beginTransaction();
                for (int record = 0; record < 1 + random.nextInt(8); record++) {
                    send(producer, who, "input", random.nextInt(PARTITIONS), number, count++, txn);
                }
                producer.flush();
                end(producer, who, txn, random.nextInt(8) > 0);
                pause(80);
            } catch (KafkaException | IllegalStateException trouble) {
                producer = recovered(producer, who, txn, trouble);
            }
        }
        if (producer != null) producer.close(Duration.ofSeconds(20));
    }

    /// Copies the input to the output, with the offsets in the same transactions.
    static void copy(String who, int number, String protocol) {
        KafkaProducer<byte[], byte[]> producer = null;
        int txn = number * 10_000_000;
        try (var consumer = consumer(who, "copiers", protocol)) {
            for (; working; txn++) {
                try {
                    if (producer == null) producer = producer(who);
                    var records = consumer.poll(Duration.ofMillis(200));
                    note(who, records, null);
                    var offsets = records.nextOffsets();
                    if (offsets.isEmpty()) continue;
                    producer.beginTransaction();
                    for (var record : records) {
                        int from = record.partition();
                        send(producer, who, "output", from, COPIES + INPUT + from, record.offset(), txn);
                    }
                    long since = System.nanoTime();
                    producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                    committed(who, "copiers", offsets, since, txn);
                    end(producer, who, txn, true);
                    pause(40);
                } catch (KafkaException | IllegalStateException trouble) {
                    producer = recovered(producer, who, txn, trouble);
                    toCommitted(consumer, who, "copiers");
                }
            }
        }
        if (producer != null) producer.close(Duration.ofSeconds(20));
    }

    static void note(String who, ConsumerRecords<byte[], byte[]> records, String group) {
        for (var record : records) {
            line(who, "read", INPUT + record.partition(), shown(record.value()), record.offset());
            if (group != null) line(who, "consumed", group, INPUT + record.partition(), record.offset());
        }
    }

    static void committed(
        String who, String group, Map<TopicPartition, OffsetAndMetadata> offsets, long since, int txn
    ) {
        offsets.forEach((at, to) -> line(who, "committed", group, INPUT + at.partition(), to.offset(), since, txn));
    }

    /// Back to where the group stands.
    static void toCommitted(KafkaConsumer<byte[], byte[]> consumer, String who, String group) {
        while (working) {
            try {
                long since = System.nanoTime();
                var committed = consumer.committed(consumer.assignment());
                committed.forEach((at, known) -> {
                    long offset = known == null ? 0 : known.offset();
                    line(who, "fetched", group, INPUT + at.partition(), offset, since);
                    consumer.seek(at, offset);
                });
                return;
            } catch (KafkaException again) {
                complain(who, again);
            }
        }
    }

    static void consume(String who, String protocol) {
        try (var consumer = consumer(who, "consumers", protocol)) {
            while (working) {
                try {
                    var records = consumer.poll(Duration.ofMillis(200));
                    note(who, records, "consumers");
                    var offsets = records.nextOffsets();
                    if (offsets.isEmpty()) continue;
                    long since = System.nanoTime();
                    consumer.commitSync(offsets);
                    committed(who, "consumers", offsets, since, 0);
                    pause(20);
                } catch (KafkaException trouble) {
                    // Thrown out, or the broker is away; what was not committed is read again by whoever owns it then.
                    complain(who, trouble);
                }
            }
        }
    }
}

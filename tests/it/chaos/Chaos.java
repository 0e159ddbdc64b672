// Clients of Apache Kafka that work while their broker is killed and held up, and print what they did and saw:
// `java -cp … Chaos.java <produce|copy|consume> <number> <bootstrap> <stop file> [<group protocol>]`. They end when the file
// is there. Each line begins with the machine's steady clock in nanoseconds; `tests/it/chaos.rs` knows the rest.

import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class Chaos {
    static final int PARTITIONS = 3, INPUT = 10, COPIES = 1_000_000;
    static int number;
    static String bootstrap, groupProtocol;
    static Path stop;
    static int transactions = 0;

    public static void main(String[] arguments) throws Exception {
        number = Integer.parseInt(arguments[1]);
        bootstrap = arguments[2];
        stop = Path.of(arguments[3]);
        groupProtocol = arguments.length > 4 ? arguments[4] : "classic";
        switch (arguments[0]) {
            case "produce" -> produce();
            case "copy" -> copy();
            case "consume" -> consume();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    static boolean goesOn() {
        return !Files.exists(stop);
    }

    static void line(Object... words) {
        var text = new StringBuilder().append(System.nanoTime());
        for (Object word : words) text.append(' ').append(word);
        synchronized (System.out) {
            System.out.println(text);
        }
    }

    static KafkaProducer<byte[], String> producer(String transactionalId) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", transactionalId);
        settings.put("transaction.timeout.ms", 20_000);
        settings.put("request.timeout.ms", 5_000);
        settings.put("delivery.timeout.ms", 15_000);
        settings.put("max.block.ms", 20_000);
        settings.put("reconnect.backoff.max.ms", 300);
        settings.put("linger.ms", 2);
        var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new StringSerializer());
        producer.initTransactions();
        return producer;
    }

    static KafkaConsumer<byte[], String> consumer(String group) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("group.protocol", groupProtocol);
        if (groupProtocol.equals("classic")) {
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
        var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new StringDeserializer());
        var owned = new TreeSet<Integer>();
        consumer.subscribe(List.of("input"), new ConsumerRebalanceListener() {
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                partitions.forEach(partition -> owned.remove(INPUT + partition.partition()));
            }

            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                partitions.forEach(partition -> owned.add(INPUT + partition.partition()));
                var member = consumer.groupMetadata();
                var all = owned.isEmpty() ? "-" : String.join(",", owned.stream().map(Object::toString).toList());
                if (groupProtocol.equals("classic")) line("assigned", group, member.generationId(), member.memberId(), all);
            }
        });
        return consumer;
    }

    static Future<RecordMetadata> send(KafkaProducer<byte[], String> producer, String topic, int partition, int of, long count, int txn) {
        int place = (topic.equals("input") ? INPUT : 2 * INPUT) + partition;
        String value = of + " " + count + " " + txn;
        line("sent", place, value);
        return producer.send(new ProducerRecord<>(topic, partition, null, value), (stored, failed) -> {
            if (failed == null) line("acked", place, value, stored.offset());
        });
    }

    static void end(KafkaProducer<byte[], String> producer, int txn, boolean commit) {
        line("ending", txn, commit);
        if (commit) producer.commitTransaction(); else producer.abortTransaction();
        line("ended", txn, commit);
    }

    /// Gets a producer out of trouble: by an abort, or by a new one in its place.
    static KafkaProducer<byte[], String> recovered(KafkaProducer<byte[], String> producer, int txn, RuntimeException trouble) {
        System.err.println(number + ": " + trouble);
        if (producer == null) return null;
        try {
            end(producer, txn, false);
            return producer;
        } catch (RuntimeException again) {
            producer.close(Duration.ZERO);
            return null;
        }
    }

    static void produce() {
        var random = new Random(number);
        KafkaProducer<byte[], String> producer = null;
        for (long count = 0; goesOn();) {
            int txn = number * 1_000_000 + ++transactions;
            try {
                if (producer == null) producer = producer("producer-" + number);
                producer.beginTransaction();
                for (int record = 0; record < 1 + random.nextInt(8); record++) {
                    send(producer, "input", random.nextInt(PARTITIONS), number, count++, txn);
                }
                producer.flush();
                end(producer, txn, random.nextInt(8) > 0);
                Thread.sleep(random.nextInt(20));
            } catch (KafkaException | IllegalStateException trouble) {
                producer = recovered(producer, txn, trouble);
            } catch (InterruptedException never) {
                throw new AssertionError(never);
            }
        }
        if (producer != null) producer.close(Duration.ofSeconds(20));
    }

    static void copy() {
        KafkaProducer<byte[], String> producer = null;
        try (var consumer = consumer("copiers")) {
            while (goesOn()) {
                int txn = number * 1_000_000 + ++transactions;
                try {
                    if (producer == null) producer = producer("copier-" + number);
                    var records = consumer.poll(Duration.ofMillis(200));
                    note(records, null);
                    if (records.isEmpty()) continue;
                    producer.beginTransaction();
                    for (var record : records) {
                        send(producer, "output", record.partition(), COPIES + INPUT + record.partition(), record.offset(), txn);
                    }
                    long since = System.nanoTime();
                    producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
                    committed("copiers", records.nextOffsets(), since, txn);
                    end(producer, txn, true);
                } catch (KafkaException | IllegalStateException trouble) {
                    producer = recovered(producer, txn, trouble);
                    toCommitted(consumer, "copiers");
                }
            }
        }
        if (producer != null) producer.close(Duration.ofSeconds(20));
    }

    static void note(ConsumerRecords<byte[], String> records, String group) {
        for (var record : records) {
            line("read", INPUT + record.partition(), record.value(), record.offset());
            if (group != null) line("consumed", group, INPUT + record.partition(), record.offset());
        }
    }

    static void committed(String group, Map<TopicPartition, OffsetAndMetadata> offsets, long since, int txn) {
        offsets.forEach((at, offset) -> line("committed", group, INPUT + at.partition(), offset.offset(), since, txn));
    }

    /// Back to where the group stands.
    static void toCommitted(KafkaConsumer<byte[], String> consumer, String group) {
        while (true) {
            try {
                long since = System.nanoTime();
                var committed = consumer.committed(consumer.assignment());
                committed.forEach((at, offset) -> {
                    line("fetched", group, INPUT + at.partition(), offset == null ? 0 : offset.offset(), since);
                    consumer.seek(at, offset == null ? 0 : offset.offset());
                });
                return;
            } catch (KafkaException again) {
                if (!goesOn()) return;
            }
        }
    }

    static void consume() {
        try (var consumer = consumer("consumers")) {
            while (goesOn()) {
                try {
                    var records = consumer.poll(Duration.ofMillis(200));
                    note(records, "consumers");
                    if (records.isEmpty()) continue;
                    long since = System.nanoTime();
                    consumer.commitSync(records.nextOffsets());
                    committed("consumers", records.nextOffsets(), since, 0);
                } catch (KafkaException trouble) {
                    // Thrown out, or the broker is away; what was not committed is read again by whoever owns it then.
                    System.err.println(number + ": " + trouble);
                }
            }
        }
    }
}

// Transactions with Apache Kafka's own clients, run as a source file: `java -cp … Transactions.java <case> <bootstrap>`.
// A case ends with status 0, or with what it did not expect.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class Transactions {
    static String bootstrap;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[1];
        switch (arguments[0]) {
            case "atomic" -> atomic();
            case "stable" -> lastStableOffset();
            case "fencing" -> fencing();
            case "timeout" -> timeout();
            case "admin" -> administration();
            case "loop" -> loop(Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]));
            case "fill" -> fill(Integer.parseInt(arguments[2]));
            case "copy" -> copy(Integer.parseInt(arguments[2]), arguments[3]);
            case "compare" -> compare(Integer.parseInt(arguments[2]));
            case "check" -> check(Integer.parseInt(arguments[2]));
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    // Committed and aborted transactions over six partitions of two topics, with plain records between them.
    static void atomic() throws Exception {
        createTopic("first", 3);
        createTopic("second", 3);
        List<TopicPartition> partitions = new ArrayList<>();
        for (String topic : List.of("first", "second")) {
            for (int number = 0; number < 3; number++) partitions.add(new TopicPartition(topic, number));
        }
        List<String> committed = new ArrayList<>();
        try (var producer = producer("atomic", 60_000); var plain = producer(null, 0)) {
            producer.initTransactions();
            for (int number = 0; number < 40; number++) {
                producer.beginTransaction();
                boolean commits = number % 3 != 1;
                for (var partition : partitions) {
                    for (int record = 0; record < 5; record++) send(producer, partition, "t" + number + "/" + record);
                }
                producer.flush(); // an abort throws away what was not sent
                if (commits) producer.commitTransaction(); else producer.abortTransaction();
                for (int record = 0; commits && record < 5; record++) committed.add("t" + number + "/" + record);
                for (var partition : partitions) send(plain, partition, "plain" + number);
                plain.flush();
                committed.add("plain" + number);
            }
        }
        for (var partition : partitions) {
            equal(committed, read(partition, "read_committed"), partition + " committed");
            equal(40 * 6, read(partition, "read_uncommitted").size(), partition + " all");
        }
    }

    // What is behind an open transaction is invisible to readers of committed data until it ends.
    static void lastStableOffset() throws Exception {
        createTopic("stable", 1);
        var partition = new TopicPartition("stable", 0);
        try (var producer = producer("stable", 60_000); var plain = producer(null, 0)) {
            send(plain, partition, "before");
            plain.flush();
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, partition, "inside");
            producer.flush();
            send(plain, partition, "behind");
            plain.flush();
            equal(1L, end(partition, "read_committed"), "last stable offset");
            equal(3L, end(partition, "read_uncommitted"), "high watermark");
            equal(List.of("before"), read(partition, "read_committed"), "while it is open");
            equal(List.of("before", "inside", "behind"), read(partition, "read_uncommitted"), "uncommitted");
            producer.abortTransaction();
            equal(4L, end(partition, "read_committed"), "after the marker");
            equal(List.of("before", "behind"), read(partition, "read_committed"), "after the abort");
        }
    }

    // The second producer of a transactional id fences the first, whose open transaction is aborted.
    static void fencing() throws Exception {
        createTopic("fenced", 1);
        var partition = new TopicPartition("fenced", 0);
        try (var zombie = producer("fenced", 60_000); var successor = producer("fenced", 60_000)) {
            zombie.initTransactions();
            zombie.beginTransaction();
            send(zombie, partition, "of the zombie");
            zombie.flush();
            successor.initTransactions();
            try {
                zombie.commitTransaction();
                throw new AssertionError("the zombie committed");
            } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                successor.beginTransaction();
            }
            send(successor, partition, "of the successor");
            successor.commitTransaction();
        }
        equal(List.of("of the successor"), read(partition, "read_committed"), "after fencing");
    }

    // The coordinator aborts what was open for too long, and its producer can start anew.
    static void timeout() throws Exception {
        createTopic("slow", 1);
        var partition = new TopicPartition("slow", 0);
        try (var producer = producer("slow", 1_000)) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, partition, "too slow");
            producer.flush();
            until(() -> end(partition, "read_committed") == 2L, "the marker of the abort");
            try {
                producer.commitTransaction();
                throw new AssertionError("a transaction that timed out was committed");
            } catch (KafkaException expected) {
                equal(List.of(), read(partition, "read_committed"), "after the timeout");
            }
        }
        try (var producer = producer("slow", 1_000_000)) {
            producer.initTransactions();
            throw new AssertionError("a timeout beyond the limit was accepted");
        } catch (KafkaException expected) {
            equal(true, root(expected).getMessage().contains("transaction timeout is larger"), "refused: " + expected);
        }
        try (var producer = producer("slow", 60_000)) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, partition, "in time");
            producer.commitTransaction();
        }
        equal(List.of("in time"), read(partition, "read_committed"), "after a restart");
    }

    // What administrators see and do.
    static void administration() throws Exception {
        createTopic("watched", 2);
        var partition = new TopicPartition("watched", 1);
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap)); var producer = producer("watched", 60_000)) {
            producer.initTransactions();
            equal(TransactionState.EMPTY, describe(admin, "watched").state(), "state after the start");
            producer.beginTransaction();
            send(producer, partition, "one");
            producer.flush();
            var open = describe(admin, "watched");
            equal(TransactionState.ONGOING, open.state(), "state of an open transaction");
            equal(Set.of(partition), open.topicPartitions(), "partitions of an open transaction");
            equal(60_000L, open.transactionTimeoutMs(), "timeout");
            equal(true, open.transactionStartTimeMs().isPresent(), "start");
            var ongoing = new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING));
            equal(List.of("watched"), names(admin, ongoing), "open transactions");
            equal(List.of("watched"), names(admin, new ListTransactionsOptions().filterOnTransactionalIdPattern("wat.*")), "by pattern");
            equal(List.of(), names(admin, new ListTransactionsOptions().filterOnDuration(3_600_000)), "older than an hour");
            var active = admin.describeProducers(Set.of(partition)).partitionResult(partition).get().activeProducers();
            equal(1, active.size(), "producers of the partition");
            equal(OptionalLong.of(0), active.get(0).currentTransactionStartOffset(), "where it began");
            equal(open.producerId(), active.get(0).producerId(), "producer id");
            admin.abortTransaction(new AbortTransactionSpec(partition, active.get(0).producerId(),
                (short) active.get(0).producerEpoch(), active.get(0).coordinatorEpoch().orElse(0))).all().get();
            equal(2L, end(partition, "read_committed"), "after the administrator's abort");
            equal(List.of(), read(partition, "read_committed"), "nothing is committed");
            admin.fenceProducers(List.of("watched")).all().get();
            try {
                admin.describeTransactions(List.of("nobody")).all().get();
                throw new AssertionError("an unknown transactional id was described");
            } catch (ExecutionException expected) {
                equal(TransactionalIdNotFoundException.class, expected.getCause().getClass(), "an unknown id");
            }
        }
    }

    // Transactions of one record in each partition, whatever happens to the broker. Prints each number whose commit was
    // confirmed. A transaction whose outcome is unknown is left behind, and the next one has a new number.
    static void loop(int transactions, int partitions) throws Exception {
        createTopic("loop", partitions);
        var numbers = new AtomicLong();
        int confirmed = 0;
        while (confirmed < transactions) {
            try (var producer = producer("loop", 20_000)) {
                producer.initTransactions();
                while (confirmed < transactions) {
                    long number = numbers.getAndIncrement();
                    producer.beginTransaction();
                    for (int partition = 0; partition < partitions; partition++) {
                        send(producer, new TopicPartition("loop", partition), Long.toString(number));
                    }
                    if (number % 7 == 3) {
                        producer.flush();
                        producer.abortTransaction();
                        continue;
                    }
                    producer.commitTransaction();
                    System.out.println("committed " + number);
                    System.out.flush();
                    confirmed++;
                }
            } catch (KafkaException interrupted) {
                System.err.println("starting again: " + interrupted);
            }
        }
    }

    // Every partition holds the same transactions, each once, in order; prints them.
    static void check(int partitions) throws Exception {
        List<String> expected = read(new TopicPartition("loop", 0), "read_committed");
        var numbers = expected.stream().map(Long::parseLong).toList();
        for (int index = 1; index < numbers.size(); index++) {
            equal(true, numbers.get(index - 1) < numbers.get(index), "order around " + numbers.get(index));
        }
        for (int partition = 1; partition < partitions; partition++) {
            equal(expected, read(new TopicPartition("loop", partition), "read_committed"), "partition " + partition);
        }
        for (long number : numbers) equal(true, number % 7 != 3, "aborted " + number);
        expected.forEach(number -> System.out.println("visible " + number));
    }

    static final List<TopicPartition> SOURCE =
        IntStream.range(0, 3).mapToObj(number -> new TopicPartition("source", number)).toList();

    static void fill(int records) throws Exception {
        createTopic("source", 3);
        createTopic("target", 3);
        try (var plain = producer(null, 0)) {
            for (int number = 0; number < records; number++) send(plain, SOURCE.get(number % 3), Integer.toString(number));
        }
    }

    // Consumes, transforms and produces: each transaction holds the copies and the offsets they came from.
    static void copy(int records, String protocol) throws Exception {
        long copied = 0;
        while (copied < records) {
            try (var producer = producer("copier", 20_000); var consumer = member(protocol)) {
                producer.initTransactions();
                consumer.subscribe(List.of("source"));
                while (copied < records) {
                    var batch = consumer.poll(Duration.ofMillis(200));
                    if (!batch.isEmpty()) {
                        producer.beginTransaction();
                        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                        for (var record : batch) {
                            send(producer, new TopicPartition("target", record.partition()), "copy of " + record.value());
                            next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                        }
                        producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                        producer.commitTransaction();
                        System.out.println("committed " + batch.count());
                        System.out.flush();
                    }
                    copied = consumer.committed(Set.copyOf(SOURCE)).values().stream()
                        .filter(Objects::nonNull).mapToLong(OffsetAndMetadata::offset).sum();
                }
            } catch (KafkaException interrupted) {
                System.err.println("starting again: " + interrupted);
            }
        }
    }

    // The target holds each record of the source once and in its order.
    static void compare(int records) throws Exception {
        int seen = 0;
        for (var partition : SOURCE) {
            var expected = read(partition, "read_committed").stream().map(value -> "copy of " + value).toList();
            var copies = read(new TopicPartition("target", partition.partition()), "read_committed");
            equal(expected, copies, "copies of " + partition);
            seen += copies.size();
        }
        equal(records, seen, "records");
    }

    static KafkaConsumer<String, String> member(String protocol) {
        var settings = settings("read_committed");
        settings.put("group.id", "copier-" + protocol);
        settings.put("group.protocol", protocol);
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", "20");
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static KafkaProducer<String, String> producer(String transactionalId, int timeoutMs) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("linger.ms", "0");
        settings.put("delivery.timeout.ms", "15000");
        settings.put("request.timeout.ms", "5000");
        settings.put("max.block.ms", "15000");
        settings.put("reconnect.backoff.max.ms", "100");
        if (transactionalId != null) {
            settings.put("transactional.id", transactionalId);
            settings.put("transaction.timeout.ms", Integer.toString(timeoutMs));
        }
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static void send(KafkaProducer<String, String> producer, TopicPartition partition, String value) {
        producer.send(new ProducerRecord<>(partition.topic(), partition.partition(), null, value));
    }

    static KafkaConsumer<String, String> consumer(String isolation) {
        return new KafkaConsumer<>(settings(isolation), new StringDeserializer(), new StringDeserializer());
    }

    static Properties settings(String isolation) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("isolation.level", isolation);
        settings.put("enable.auto.commit", "false");
        settings.put("fetch.max.wait.ms", "100");
        settings.put("default.api.timeout.ms", "30000");
        settings.put("reconnect.backoff.max.ms", "100");
        return settings;
    }

    static long end(TopicPartition partition, String isolation) {
        try (var consumer = consumer(isolation)) {
            return consumer.endOffsets(List.of(partition)).get(partition);
        }
    }

    // All values up to the end that the isolation level shows.
    static List<String> read(TopicPartition partition, String isolation) {
        try (var consumer = consumer(isolation)) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            List<String> values = new ArrayList<>();
            while (consumer.position(partition) < end) {
                consumer.poll(Duration.ofMillis(100)).records(partition).forEach(record -> values.add(record.value()));
            }
            return values;
        }
    }

    static TransactionDescription describe(Admin admin, String id) throws Exception {
        return admin.describeTransactions(List.of(id)).description(id).get();
    }

    static List<String> names(Admin admin, ListTransactionsOptions options) throws Exception {
        return admin.listTransactions(options).all().get().stream().map(TransactionListing::transactionalId).toList();
    }

    static void createTopic(String name, int partitions) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all().get();
        } catch (ExecutionException failed) {
            if (!(failed.getCause() instanceof TopicExistsException)) throw failed;
        }
    }

    interface Condition { boolean holds() throws Exception; }

    static void until(Condition condition, String what) throws Exception {
        long deadline = System.nanoTime() + 120_000_000_000L;
        while (!condition.holds()) {
            if (System.nanoTime() > deadline) throw new AssertionError("did not come: " + what);
            Thread.sleep(20);
        }
    }

    static Throwable root(Throwable error) {
        return error.getCause() == null ? error : root(error.getCause());
    }

    static void equal(Object expected, Object actual, String what) {
        if (!Objects.equals(expected, actual)) throw new AssertionError(what + ": " + actual + " instead of " + expected);
    }
}

"""Transactions with confluent-kafka (librdkafka), which speaks the protocol before KIP-890.

confluent_transactions.py all BOOTSTRAP: committed, aborted and fenced transactions.
confluent_transactions.py copy BOOTSTRAP RECORDS: copies the topic "source" to "target", with its offsets, by a group.
confluent_transactions.py loop BOOTSTRAP COUNT PARTITIONS: prints each transaction whose commit was confirmed.
"""

import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def producer(bootstrap, transactional_id):
    settings = {
        "bootstrap.servers": bootstrap,
        "linger.ms": 0,
        "broker.address.family": "v4",
        # librdkafka 2.11 and later drop the only broker they know when it dies (KIP-899) while a TxnOffsetCommit still waits
        # for it: that is never sent, and the broker's thread never ends.
        "metadata.recovery.strategy": "none",
    }
    if transactional_id:
        settings["transactional.id"] = transactional_id
        settings["transaction.timeout.ms"] = 20000
    return Producer(settings)


def create_topic(bootstrap, name, partitions):
    admin = AdminClient({"bootstrap.servers": bootstrap, "broker.address.family": "v4"})
    for future in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        try:
            future.result(30)
        except KafkaException as failed:
            if failed.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def read(bootstrap, topic, partition, isolation):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    values = []
    while True:
        message = consumer.poll(30)
        assert message is not None, "neither a record nor the end came"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            consumer.close()
            return values
        values.append(message.value().decode())


def committed_and_aborted(bootstrap):
    create_topic(bootstrap, "librdkafka", 3)
    transactional, plain = producer(bootstrap, "librdkafka"), producer(bootstrap, None)
    transactional.init_transactions(30)
    expected = []
    for number in range(30):
        transactional.begin_transaction()
        for partition in range(3):
            for record in range(4):
                transactional.produce("librdkafka", f"{number}/{record}".encode(), partition=partition)
        if number % 3 == 1:
            transactional.flush(30)
            transactional.abort_transaction(30)
        else:
            transactional.commit_transaction(30)
            expected += [f"{number}/{record}" for record in range(4)]
        for partition in range(3):
            plain.produce("librdkafka", f"plain {number}".encode(), partition=partition)
        plain.flush(30)
        expected.append(f"plain {number}")
    for partition in range(3):
        seen = read(bootstrap, "librdkafka", partition, "read_committed")
        assert seen == expected, (partition, seen, expected)
        assert len(read(bootstrap, "librdkafka", partition, "read_uncommitted")) == 30 * 5


def fenced(bootstrap):
    create_topic(bootstrap, "fenced-by-librdkafka", 1)
    zombie, successor = producer(bootstrap, "fenced"), producer(bootstrap, "fenced")
    zombie.init_transactions(30)
    zombie.begin_transaction()
    zombie.produce("fenced-by-librdkafka", b"zombie", partition=0)
    zombie.flush(30)
    successor.init_transactions(30)
    try:
        zombie.commit_transaction(30)
        raise AssertionError("the zombie committed")
    except KafkaException as refused:
        assert refused.args[0].fatal(), refused
        assert refused.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED), refused
    successor.begin_transaction()
    successor.produce("fenced-by-librdkafka", b"successor", partition=0)
    successor.commit_transaction(30)
    assert read(bootstrap, "fenced-by-librdkafka", 0, "read_committed") == ["successor"]


def loop(bootstrap, count, partitions):
    """Each transaction has one record in each partition. One whose outcome is unknown is left behind."""
    create_topic(bootstrap, "loop", partitions)
    number, confirmed = 0, 0
    while confirmed < count:
        transactional = producer(bootstrap, "loop")
        try:
            transactional.init_transactions(30)
            while confirmed < count:
                mine, number = number, number + 1
                transactional.begin_transaction()
                for partition in range(partitions):
                    transactional.produce("loop", str(mine).encode(), partition=partition)
                if mine % 7 == 3:
                    transactional.flush(30)
                    transactional.abort_transaction(30)
                    continue
                transactional.commit_transaction(30)
                print(f"committed {mine}", flush=True)
                confirmed += 1
        except KafkaException as interrupted:
            print(f"starting again: {interrupted}", file=sys.stderr)


def copy(bootstrap, records):
    """Each transaction holds the copies and the offsets that they came from."""
    partitions = [TopicPartition("source", number) for number in range(3)]
    copied = 0
    while copied < records:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "broker.address.family": "v4",
                "group.id": "copier",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
            }
        )
        consumer.subscribe(["source"])
        transactional = producer(bootstrap, "copier")
        try:
            transactional.init_transactions(30)
            while copied < records:
                batch = [message for message in consumer.consume(20, 0.2) if not message.error()]
                if batch:
                    transactional.begin_transaction()
                    for message in batch:
                        transactional.produce("target", b"copy of " + message.value(), partition=message.partition())
                    positions = [found for found in consumer.position(consumer.assignment()) if found.offset >= 0]
                    transactional.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 30)
                    transactional.commit_transaction(30)
                    print(f"committed {len(batch)}", flush=True)
                found = consumer.committed(partitions, 30)
                copied = sum(partition.offset for partition in found if partition.offset > 0)
        except KafkaException as interrupted:
            print(f"starting again: {interrupted}", file=sys.stderr)
        consumer.close()


if __name__ == "__main__":
    if sys.argv[1] == "copy":
        copy(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "all":
        committed_and_aborted(sys.argv[2])
        fenced(sys.argv[2])
    else:
        loop(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

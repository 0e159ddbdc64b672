"""admin.py BOOTSTRAP

Creates, describes, changes and deletes topics through kafka-python's admin client, and checks each answer.
"""

import sys

import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

bootstrap = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=bootstrap)


def refused(error, action):
    """The action fails with this error of Kafka's; some answers carry it in a row instead of raising it."""
    try:
        answer = action()
    except error:
        return
    raise AssertionError(f"expected {error.__name__}, got {answer}")


def config(topic, name):
    answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    ((_, by_name),) = answer.items()
    return by_name[topic][name]


cluster = admin.describe_cluster()
assert cluster["brokers"], cluster

admin.create_topics([NewTopic("orders", 3, 1, topic_configs={"retention.ms": "3600000"}), NewTopic("payments", 1, 1)])
assert {"orders", "payments"} <= set(admin.list_topics()), admin.list_topics()
refused(kafka.errors.TopicAlreadyExistsError, lambda: admin.create_topics([NewTopic("orders", 3, 1)]))
refused(kafka.errors.InvalidTopicError, lambda: admin.create_topics([NewTopic("no spaces", 1, 1)]))
refused(kafka.errors.InvalidPartitionsError, lambda: admin.create_topics([NewTopic("none", 0, 1)]))
refused(kafka.errors.InvalidConfigurationError, lambda: admin.create_topics([NewTopic("odd", 1, 1, topic_configs={"retention.ms": "soon"})]))
admin.create_topics([NewTopic("dry", 1, 1)], validate_only=True)
assert "dry" not in admin.list_topics()

(described,) = admin.describe_topics(["orders"])
assert [row["partition_index"] for row in sorted(described["partitions"], key=lambda row: row["partition_index"])] == [0, 1, 2], described
brokers = {broker["broker_id"] for broker in cluster["brokers"]}
assert all(row["leader_id"] in brokers for row in described["partitions"]), described

admin.create_partitions({"orders": NewPartitions(5)})
(described,) = admin.describe_topics(["orders"])
assert len(described["partitions"]) == 5, described
refused(kafka.errors.InvalidPartitionsError, lambda: admin.create_partitions({"orders": NewPartitions(2)}))

assert config("orders", "retention.ms")["value"] == "3600000"
assert config("orders", "cleanup.policy")["value"] == "delete"
admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "orders", configs={"retention.ms": "7200000"})])
assert config("orders", "retention.ms")["value"] == "7200000"

producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
for number in range(10):
    assert producer.send("payments", b"%d" % number).get(timeout=30).offset == number
producer.close()

consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, consumer_timeout_ms=30_000)
place = TopicPartition("payments", 0)
consumer.assign([place])
consumer.seek_to_beginning(place)
assert consumer.end_offsets([place]) == {place: 10}
assert [next(consumer).value for _ in range(10)] == [b"%d" % number for number in range(10)]

admin.delete_topics(["orders", "payments"])
assert not {"orders", "payments"} & set(admin.list_topics()), admin.list_topics()
admin.create_topics([NewTopic("payments", 1, 1)])
consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
assert consumer.end_offsets([place]) == {place: 0}, "a topic made anew starts at offset 0"
consumer.close()
admin.close()
print("topics were created, described, changed and deleted")

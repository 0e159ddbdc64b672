"""kafka-python and confluent-kafka each add a record and read what everybody wrote."""

import sys

import confluent_kafka
import kafka

bootstrap, topic = sys.argv[1], "shared"

producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, acks="all")
producer.send(topic, key=b"kafka-python", value=b"two").get(timeout=30)
producer.close()

producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
producer.produce(topic, key=b"confluent-kafka", value=b"three")
assert producer.flush(30) == 0

consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30000)
consumer.assign([kafka.TopicPartition(topic, 0)])
consumer.seek_to_beginning()
for _ in range(3):
    record = next(consumer)
    print(f"{record.key.decode()}:{record.value.decode()}")
consumer.close()

consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
for _ in range(3):
    record = consumer.poll(30)
    assert record is not None and record.error() is None, record
    print(f"{record.key().decode()}:{record.value().decode()}")
consumer.close()

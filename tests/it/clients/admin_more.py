"""admin_more.py BOOTSTRAP

What kafka-python's admin client asks for beside topics: records, directories, elections, features, users, settings of
brokers and groups.
"""

import sys

import kafka.errors
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

bootstrap = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic("orders", 2, 1)])

producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
for number in range(10):
    assert producer.send("orders", b"%d" % number, partition=0).get(timeout=30).offset == number
producer.close()

place = TopicPartition("orders", 0)
deleted = admin.delete_records({place: 4})
assert deleted[place]["low_watermark"] == 4, deleted
try:
    admin.delete_records({place: 99})
    raise AssertionError("records beyond the end were deleted")
except kafka.errors.OffsetOutOfRangeError:
    pass

(broker,) = [row["broker_id"] for row in admin.describe_cluster()["brokers"]]
dirs = admin.describe_log_dirs()
assert "orders" in repr(dirs), dirs

described = admin.describe_topic_partitions(["orders"], response_partition_limit=1)
assert "orders" in repr(described), described

admin.elect_leaders(0, {"orders": [0, 1]})
assert admin.list_partition_reassignments() == {}, admin.list_partition_reassignments()

features = admin.describe_features()
assert "metadata.version" in repr(features), features
quorum = admin.describe_metadata_quorum()
assert "leader_id" in repr(quorum), quorum

admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, str(broker), configs={"log.cleaner.threads": "2"})])
answer = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, str(broker))], config_filter="all")
((_, by_name),) = answer.items()
assert by_name[str(broker)]["log.cleaner.threads"]["value"] == "2", by_name[str(broker)]["log.cleaner.threads"]
assert by_name[str(broker)]["log.retention.hours"]["value"] == "168"

users = admin.describe_user_scram_credentials()
assert "ann" not in repr(users), users
admin.alter_user_scram_credentials([kafka.admin.UserScramCredentialUpsertion("ann", "SCRAM-SHA-256", "secret")])
users = admin.describe_user_scram_credentials(["ann"])
assert "ann" in repr(users) and "4096" in repr(users), users

admin.close()
print("records, directories, features, users and settings answer")

"""Stands in for the file of this name that kafka-python's source archive leaves out.

With KAFKA_URI set its tests use a broker that runs already; the class that starts one is only imported.
"""


class ExternalService:
    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass


class SpawnedService:
    def __init__(self, *args, **kwargs):
        raise RuntimeError("tests that start a broker of their own are not run here")

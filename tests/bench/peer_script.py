"""A script as people write it who need the way from a program to MQTT: lines from a Unix socket, each published by
paho-mqtt.

  peer_script.py SOCKET PORT TOPIC QOS
"""
import os
import socket
import sys

import paho.mqtt.client as mqtt

path, port, topic, qos = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2) if hasattr(mqtt, "CallbackAPIVersion") else mqtt.Client()
client.max_queued_messages_set(0)
client.max_inflight_messages_set(100)
client.connect("127.0.0.1", port)
client.loop_start()
with socket.socket(socket.AF_UNIX) as server:
    server.bind(path)
    server.listen()
    print("ready", flush=True)
    try:
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    client.publish(topic, line.rstrip(b"\n"), qos)
    finally:
        os.unlink(path)

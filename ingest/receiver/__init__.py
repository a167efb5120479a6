"""From the broker to the spool: one MQTT subscription, received, stored durably, then acknowledged."""

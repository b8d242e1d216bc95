"""The chart says what the JSON says."""

from xml.etree import ElementTree

from bench.chart import chart


def test_rates_with_a_limit_are_drawn() -> None:
    one = {"name": "hot-sku", "unit": "reservations/s", "ours": 500.0, "peer": 10.0, "limit": 1000.0, "goal_limit": 0.5}
    other = {**one, "name": "outbox-latency", "unit": "ms"}
    picture = chart([one, other])
    ElementTree.fromstring(picture)
    assert "hot-sku" in picture and "500 reservations/s" in picture and "10 reservations/s" in picture
    assert "outbox-latency" not in picture

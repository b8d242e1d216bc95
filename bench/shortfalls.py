"""Why a benchmark is below its goal, where it is: the causes that were counted, and what would lift it.

Why: a figure that misses its goal is only useful beside its reason; docs/performance.md has the counts.
"""

from collections.abc import Mapping
from typing import Final

SHORTFALLS: Final[Mapping[str, str]] = {
    "order-create": (
        "an echo costs one decode, one validation and one encode; an order also 15 statements per batch and"
        " some forty columns. Orders' Python has half of the CPU, most of that for the call itself; PostgreSQL has a"
        " fifth, a third of it for the INSERT whose rows it reads from JSON. Narrower rows and cheaper calls"
        " would lift it."
    ),
    "order-batch": (
        "decisions, rows and their encoding for asyncpg are Python and pay for each order; gRPC and the"
        " second process are the rest. Fewer values on the way of an order, and narrower rows, would lift it."
    ),
    "hot-sku": (
        "512 buyers wait for two flushes of 256; one is 45 us of Python and 20 to 40 of PostgreSQL, mostly one of these"
        " after the other because of the row's lock, and pgbench has no Python; a commit whose fsync takes 30 ms holds"
        " up everybody. One or three flushes, and batches of 64, gave nothing. Cheaper decisions would lift it."
    ),
    "outbox-drain": (
        "reading and deleting rows and encoding records share two cores with PostgreSQL and Kafka; the limit"
        " has only the encoding. A relay in a compiled language would lift it."
    ),
    "outbox-latency": (
        "after the commit come a NOTIFY, a read, and Kafka's ack; aiokafka has one request per broker under"
        " way, so that a few slow acks hold up what comes behind them. Producers by partition would shorten"
        " the tail."
    ),
    "inbox": ("events are decoded and claimed in Python one by one, while the limit has them in memory and decoded."),
    "webhook": (
        "payments has 45 % of the CPU, PostgreSQL and the gateway a quarter each: an event is read, applied to its"
        " order, booked, and said by two events, which neither peer nor limit does. Payments' single Python loop is"
        " busy most of the time, so that two cores are never full. Decisions and messages in a compiled language, or"
        " a second process of payments on more cores, would lift it."
    ),
    "checkout": (
        "the limit reckons with full batches of four kinds of work, under 2 ms an order; a whole order makes 54"
        " statements in 25 transactions, is told by 19 events that are read 35 times, calls two providers, takes"
        " their webhooks back and writes mails and an archive, by twelve processes and two servers that share two"
        " cores. None has more than a quarter of it, and more orders under way make none of it cheaper. Fewer events an"
        " order, plans that are kept (a third of PostgreSQL's part) and more cores would lift it."
    ),
    "growth": (
        "the grown shop's indexes are deeper and fit into no buffer, and both shops share one server; a statement that"
        " reads more than the rows of its own orders would show much more than that."
    ),
    "idle": (
        "Kafka with nobody connected takes 1.9 % of a core, its nine clients' long polls and heartbeats and a"
        " look of each job and relay per second the rest. Longer intervals in the profile demo would lift it,"
        " and slow the demo."
    ),
}

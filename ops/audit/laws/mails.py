"""Laws about mails: one for each event that asks for one."""

import re
from collections import Counter
from typing import Final

from ops.audit.law import Found, law
from ops.audit.sources import MAILBOX, Sources

# Mails are forgotten 60 days after their end, claims a partition at a time, 60 to 90 days after their event (S-28).
_UNEQUAL: Final = """
SELECT coalesce(i.event_id, m.event_id)::text AS event_id,
       CASE WHEN m.event_id IS NULL THEN 'was applied and plans no mail' ELSE 'has a mail and was not applied' END
           AS problem
  FROM (SELECT event_id, claimed_at FROM inbox WHERE consumer = 'emails' AND outcome = 'APPLIED') AS i
  FULL JOIN mails AS m USING (event_id)
 WHERE (m.event_id IS NULL AND i.claimed_at > now() - interval '59 days')
    OR (i.event_id IS NULL AND m.occurred_at > now() - interval '59 days')
"""
_SENT: Final = "SELECT event_id::text AS event_id FROM mails WHERE state = 'SENT'"
_EVENT: Final = re.compile(r"^<([0-9a-f-]{36})@")


@law("emails")
async def mails_follow_events(sources: Sources) -> Found:
    """Each event that asks for a mail has planned one, and no mail comes from nowhere."""
    return [(row["event_id"], row["problem"]) for row in await sources.rows("emails", _UNEQUAL)]


@law("emails", MAILBOX)
async def mails_arrive_once(sources: Sources) -> Found:
    """What the journal calls sent has arrived in the mailbox, once."""
    if sources.letters is None or "emails" not in sources.databases:
        return []
    arrived = Counter(
        found[1] for letter in sources.letters if (found := _EVENT.match(str(letter.get("message_id", ""))))
    )
    sent = {row["event_id"] for row in await sources.rows("emails", _SENT)}
    return [
        (
            event_id,
            f"its mail arrived {arrived[event_id]} times, its journal says {int(event_id in sent)}",
        )
        for event_id in sorted({*arrived, *sent})
        if arrived[event_id] != (event_id in sent)
    ]

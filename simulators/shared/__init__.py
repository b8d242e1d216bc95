"""What both simulated vendors need: time, ids, faults, webhooks, so that neither invents its own."""

"""The four services of Onefold, and the chassis that they share."""

"""The `onefold` command and the local stack: what a person who runs Onefold uses."""

"""What a run would send, and what would be wrong: found without sending anything."""

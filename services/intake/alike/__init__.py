"""The same person, the same incident: found by blind marks and coarse facts, said by a person."""

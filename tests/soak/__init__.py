"""The soak: hours of use in little time, while memory, descriptors, threads and invariants are watched."""

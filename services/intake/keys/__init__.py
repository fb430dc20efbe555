"""Key-encryption keys: where they are kept, and how an old one gives way to a new one."""

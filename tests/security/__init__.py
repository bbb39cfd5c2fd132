"""Attacks, each on the real product over real sockets. `docs/security.md` says which one holds which threat off."""

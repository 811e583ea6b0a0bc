"""The upstream publishers, one file each: ``list_`` and ``fetch_`` touch the network, ``parse_`` is pure."""

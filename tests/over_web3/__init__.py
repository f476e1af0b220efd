"""web3.py over our provider, beside the same over its own."""

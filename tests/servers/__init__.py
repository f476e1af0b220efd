"""What the tests need besides `genesis_replicator.testing`: a real anvil, the guide taken apart, waiting."""

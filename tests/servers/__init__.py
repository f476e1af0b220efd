"""The servers that the tests talk to: a scripted JSON-RPC node and a real anvil. All listen on 127.0.0.1."""

"""The services that the other parts of the framework build on."""

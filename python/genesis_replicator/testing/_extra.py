"""What is not installed with the package: HTTP/2 and certificates for tests."""


def missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The same error, with what to do about it."""
    message = f"{error.name} is missing; install it with: pip install 'genesis-replicator[testing]'"
    return ModuleNotFoundError(message, name=error.name)
